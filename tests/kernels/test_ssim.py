from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scenekit.kernels import native
from scenekit.kernels.ssim import SSIM, l1_dssim, ssim


def _images(height: int, width: int, channels: int, dtype: torch.dtype = torch.float32):
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(height, width, channels, generator=generator, dtype=torch.float64)
    noise = torch.randn(height, width, channels, generator=generator, dtype=torch.float64)
    return (target + 0.1 * noise).to(dtype), target.to(dtype)


def _index_of_windows(x: Tensor, y: Tensor) -> float:
    """The definition, for one 11x11 window of one channel."""
    taps = [math.exp(-((i - 5) ** 2) / 4.5) for i in range(11)]
    window = torch.tensor([[a * b for a in taps] for b in taps], dtype=torch.float64)
    window /= window.sum()
    mx, my = (window * x).sum(), (window * y).sum()
    vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
    cov = (window * (x - mx) * (y - my)).sum()
    luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    return float(luminance * (2 * cov + 9e-4) / (vx + vy + 9e-4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixels_match_the_definition_on_their_window(dtype: torch.dtype):
    image, target = _images(17, 21, 3, dtype)
    found = ssim(image, target)
    padded = [torch.nn.functional.pad(t.double(), (0, 0, 5, 5, 5, 5)) for t in (image, target)]
    for y, x, c in [(0, 0, 0), (8, 9, 1), (16, 20, 2), (3, 12, 0), (5, 5, 2)]:
        windows = [t[y : y + 11, x : x + 11, c] for t in padded]
        assert abs(float(found[y, x, c]) - _index_of_windows(*windows)) < 1e-5


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (33, 47)])
def test_both_bodies_agree(size: tuple[int, int], channels: int):
    image, target = _images(*size, channels)
    wanted = SSIM.reference(image.double(), target.double())
    torch.testing.assert_close(ssim(image, target).double(), wanted, rtol=1e-4, atol=1e-5)
    weights = torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    mine, theirs = image.clone().requires_grad_(), image.double().requires_grad_()
    (ssim(mine, target) * weights).sum().backward()
    (SSIM.reference(theirs, target.double()) * weights.double()).sum().backward()
    assert mine.grad is not None
    assert theirs.grad is not None
    error = (mine.grad.double() - theirs.grad).abs().max()
    assert error < 1e-4 * theirs.grad.abs().max()


def test_equal_images_score_one_and_cannot_improve():
    _, target = _images(30, 20, 3)
    image = target.clone().requires_grad_()
    found = ssim(image, target)
    torch.testing.assert_close(found, torch.ones_like(found))
    found.mean().backward()
    assert image.grad is not None
    assert image.grad.abs().max() < 1e-6


def test_reference_gradient_matches_finite_differences():
    image, target = _images(5, 7, 2, torch.float64)
    assert torch.autograd.gradcheck(lambda x: ssim(x, target), (image.requires_grad_(),))


def test_the_target_is_refused_a_gradient():
    image, target = _images(12, 12, 3)
    with pytest.raises(NotImplementedError, match="swap"):
        ssim(image, target.requires_grad_()).sum().backward()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("weight", [0.2, 1.0])
def test_the_loss_is_made_of_means_of_its_parts(channels: int, weight: float):
    pairs = [_images(20, 31, channels), _images(20, 31, channels)[::-1]]
    images, targets = (torch.stack(parts) for parts in zip(*pairs, strict=True))
    mine, theirs = images.clone().requires_grad_(), images.double().requires_grad_()
    l1, dssim = l1_dssim(mine, targets, weight)
    difference = (theirs - targets.double()).abs().mean()
    index = torch.stack([ssim(x, y).mean() for x, y in zip(theirs, targets.double(), strict=True)]).mean()
    assert float(l1) == pytest.approx((1 - weight) * float(difference), rel=1e-5)
    assert float(dssim) == pytest.approx(weight * (1 - float(index)), rel=1e-4)
    (l1 + 2 * dssim).backward()
    ((1 - weight) * difference - 2 * weight * index).backward()
    assert mine.grad is not None
    assert theirs.grad is not None
    assert (mine.grad.double() - theirs.grad).abs().max() < 1e-4 * theirs.grad.abs().max()


def test_the_loss_of_equal_images_is_nothing_and_has_no_gradient():
    image = _images(15, 12, 3)[1][None].requires_grad_()
    l1, dssim = l1_dssim(image, image.detach(), 0.2)
    (l1 + dssim).backward()
    assert float(l1) == 0
    assert float(dssim) == pytest.approx(0, abs=1e-6)
    assert image.grad is not None
    assert image.grad.abs().max() < 1e-6


def test_a_term_that_nobody_asks_for_has_no_part_in_the_gradient():
    image, target = (x[None] for x in _images(15, 12, 3))
    image.requires_grad_()
    (alone,) = torch.autograd.grad(l1_dssim(image, target, 0.2)[0], image)
    (index,) = torch.autograd.grad(l1_dssim(image, target, 0.2)[1], image)
    (both,) = torch.autograd.grad(sum(l1_dssim(image, target, 0.2)), image)
    torch.testing.assert_close(alone, 0.8 / image.numel() * (image - target).sign().detach())
    torch.testing.assert_close(alone + index, both)


def test_every_number_of_threads_gives_the_same_loss():
    handle = native.library()
    if handle is None:
        pytest.skip("no compiled library")
    image, target = (x[None] for x in _images(60, 50, 3))
    image.requires_grad_()

    def run(threads: int) -> list[Tensor]:
        handle.scenekit_set_threads(threads)
        terms = l1_dssim(image, target, 0.2)
        return [*terms, *torch.autograd.grad(sum(terms), image)]

    try:
        runs = run(1), run(2)
    finally:
        handle.scenekit_set_threads(torch.get_num_threads())
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.bad_input
def test_a_loss_of_many_channels_or_shapes_is_refused():
    with pytest.raises(ValueError, match="wanted 1 to 4 channels, found 5"):
        l1_dssim(torch.zeros(1, 4, 5, 5), torch.zeros(1, 4, 5, 5), 0.2)
    with pytest.raises(ValueError, match="targets: wanted shape"):
        l1_dssim(torch.zeros(1, 4, 5, 3), torch.zeros(2, 4, 5, 3), 0.2)


@pytest.mark.bad_input
def test_images_of_different_size_are_refused():
    with pytest.raises(ValueError, match="target: wanted shape"):
        ssim(torch.zeros(4, 5, 3), torch.zeros(5, 4, 3))
