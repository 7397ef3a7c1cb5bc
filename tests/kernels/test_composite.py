from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scenekit.kernels.composite import COMPOSITE, Composited, composite

COUNTS = [0, 5, 1, 0, 40, 3, 0]


def _samples(channels: int = 3, dtype: torch.dtype = torch.float32, most: float = 0.3):
    generator = torch.Generator().manual_seed(0)
    count = sum(COUNTS)
    alphas = torch.rand(count, generator=generator, dtype=torch.float64) * most
    colors = torch.rand(count, channels, generator=generator, dtype=torch.float64)
    distances = torch.rand(count, generator=generator, dtype=torch.float64) * 3
    offsets = torch.tensor([0, *COUNTS]).cumsum(0)
    return alphas.to(dtype), colors.to(dtype), distances.to(dtype), offsets


def _ray_by_ray(alphas: Tensor, colors: Tensor, distances: Tensor, offsets: Tensor) -> Composited:
    rows, all_weights = [], []
    for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        light, weights = torch.ones((), dtype=alphas.dtype), []
        for i in range(begin, end):
            weights.append(light * alphas[i] if light >= 1e-4 else alphas[i] * 0)
            light = light * (1 - alphas[i])
        w = torch.stack(weights) if weights else alphas[:0]
        all_weights.append(w)
        rows.append(((w[:, None] * colors[begin:end]).sum(0), w.sum(), (w * distances[begin:end]).sum()))
    pixels = [torch.stack(column) for column in zip(*rows, strict=True)]
    return Composited(pixels[0], pixels[1], pixels[2], torch.cat(all_weights))


def _gradients(body, alphas: Tensor, colors: Tensor, distances: Tensor, offsets: Tensor) -> list[Tensor]:
    leaves = [alphas.clone().requires_grad_(), colors.clone().requires_grad_()]
    results = body(*leaves, distances, offsets)
    generator = torch.Generator().manual_seed(3)
    seeds = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in results]
    return list(torch.autograd.grad(list(results), leaves, seeds, allow_unused=True))


@pytest.mark.parametrize("most", [0.3, 0.9], ids=["faint", "stopped"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients_match_a_loop_over_samples(dtype: torch.dtype, channels: int, most: float):
    inputs = _samples(channels, dtype, most)
    exact = [x.double() if x.is_floating_point() else x for x in inputs]
    for found, wanted in zip(composite(*inputs), _ray_by_ray(*exact), strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)
    for found, wanted in zip(_gradients(composite, *inputs), _gradients(_ray_by_ray, *exact), strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5)


def test_samples_without_colours_are_weighed():
    alphas, colors, distances, offsets = _samples()
    found = composite(alphas, colors[:, :0], distances, offsets)
    assert found.colors.shape == (len(COUNTS), 0)
    assert torch.equal(found.weights, composite(alphas, colors, distances, offsets).weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_opaque_sample_hides_the_rest_and_keeps_gradients_finite(dtype: torch.dtype):
    alphas = torch.tensor([0.5, 1.0, 0.7, 0.2], dtype=dtype)
    colors = torch.rand(4, 3, dtype=dtype)
    offsets = torch.tensor([0, 4])
    assert composite(alphas, colors, alphas, offsets).weights.tolist() == [0.5, 0.5, 0, 0]
    for_alphas, for_colors = _gradients(composite, alphas, colors, alphas, offsets)
    assert for_alphas.isfinite().all()
    assert not for_alphas[2:].any()
    assert not for_colors[2:].any()
    assert for_alphas[:2].all()


def test_behind_the_stop_weights_and_gradients_are_exactly_zero():
    alphas = torch.full((9,), 0.95)
    colors = torch.rand(9, 3)
    offsets = torch.tensor([0, 9])
    weights = composite(alphas, colors, alphas, offsets).weights
    assert (weights != 0).tolist() == [True] * 4 + [False] * 5  # 0.05^3 > 1e-4 > 0.05^4
    for_alphas, for_colors = _gradients(composite, alphas, colors, alphas, offsets)
    assert not for_alphas[4:].any()
    assert not for_colors[4:].any()


def test_weights_of_a_ray_sum_to_what_does_not_pass():
    alphas, colors, distances, offsets = _samples()
    opacity = composite(alphas, colors, distances, offsets).opacities
    passed = [(1 - a).prod() for a in alphas.split(COUNTS)]
    torch.testing.assert_close(opacity, 1 - torch.stack(passed), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("body", ["composite", "reference"])
def test_samples_that_no_ray_owns_have_no_weight_and_no_gradient(body: str):
    alphas, colors, distances, offsets = _samples()
    own = COMPOSITE if body == "composite" else COMPOSITE.reference
    leaves = alphas.requires_grad_(), colors.requires_grad_()
    wanted = own(alphas[:46], colors[:46], distances[:46], offsets[:-2])
    found = own(alphas, colors, distances, offsets[:-2])
    assert all(torch.equal(a, b) for a, b in zip(found[:3], wanted[:3], strict=True))
    assert torch.equal(found[3][:46], wanted[3])
    assert not found[3][46:].any()
    for gradient in torch.autograd.grad([x.sum() for x in found], leaves):
        assert gradient[:46].any()
        assert not gradient[46:].any()


def test_reference_gradients_match_finite_differences():
    alphas, colors, distances, offsets = _samples(dtype=torch.float64, most=0.2)
    leaves = (alphas.requires_grad_(), colors.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, c: tuple(COMPOSITE(a, c, distances, offsets)), leaves)


@pytest.mark.bad_input
def test_offsets_beyond_the_samples_are_refused():
    alphas, colors, distances, offsets = _samples()
    with pytest.raises(ValueError, match="offsets: wanted 0 to at most 49 samples, found 0 to 50"):
        composite(alphas, colors, distances, offsets + (offsets > 48))
    with pytest.raises(ValueError, match="offsets: wanted int64"):
        composite(alphas, colors, distances, offsets.int())
