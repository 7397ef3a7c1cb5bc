import itertools
import math

import pytest
import torch

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import EVAL, Encoding, Field, Regularized
from scenekit.representations.triplane import Triplane, TriplaneEncoding

SMALL = Triplane(levels=2, features=4, coarsest=4, finest=8, combination="product", smoothness=0.5)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def grid_sampled(encoding: TriplaneEncoding, positions: torch.Tensor, combine: str) -> torch.Tensor:
    """The same features by torch's own bilinear interpolation."""
    levels = []
    for level, (resolution, cells) in enumerate(zip(encoding.layout.resolutions, encoding.layout.scales, strict=True)):
        begin, end = encoding.layout.offsets[level : level + 2]
        found = []
        for axes, plane in zip(encoding.axes, encoding.planes, strict=True):
            image = plane[begin:end].reshape(1, resolution, resolution, -1).permute(0, 3, 1, 2)
            # Vertex i stands at (i - 1/2) / cells; grid_sample has the first and the last at -1 and 1.
            places = 2 * (positions[:, list(axes)] * cells + 0.5) / (resolution - 1) - 1
            found.append(torch.nn.functional.grid_sample(image, places[None, None], align_corners=True)[0, :, 0].T)
        levels.append(torch.stack(found).prod(0) if combine == "product" else torch.stack(found).sum(0))
    return torch.cat(levels, -1)


@pytest.mark.parametrize("dimensions", [2, 3, 4])
@pytest.mark.parametrize("combination", ["product", "sum"])
def test_features_are_those_of_bilinear_interpolation(dimensions: int, combination: str) -> None:
    config = Triplane(levels=2, features=4, coarsest=4, combination=combination)  # type: ignore[arg-type]
    encoding = config.encoding(dimensions, 9, generator())
    positions = torch.rand(200, dimensions, generator=generator())
    found = encoding(positions)
    assert isinstance(encoding, Encoding)
    assert found.shape == (200, encoding.features)
    assert len(encoding.planes) == math.comb(dimensions, 2)
    torch.testing.assert_close(found, grid_sampled(encoding, positions, combination), rtol=1e-4, atol=1e-5)


def test_a_product_is_zero_where_one_plane_is() -> None:
    encoding = SMALL.encoding(3, 8, generator())
    with torch.no_grad():
        encoding.planes[1].zero_()
    assert not encoding(torch.rand(10, 3, generator=generator())).any()


def test_resolutions_grow_from_coarsest_to_finest_of_the_inner_cube() -> None:
    field = Triplane(levels=3, coarsest=16, finest=64).build(Bounds(extent=4.0), generator())
    assert isinstance(field, Field)
    assert isinstance(field.encoding, TriplaneEncoding)
    assert field.encoding.layout.scales == (16, 64, 256)


def test_total_variation_counts_squared_steps_between_neighbours_and_a_constant_has_none() -> None:
    encoding = SMALL.encoding(3, 8, generator())
    assert isinstance(encoding, Regularized)
    with torch.no_grad():
        for plane in encoding.planes:
            plane.fill_(0.7)
    assert encoding.terms(EVAL)["smoothness"].item() == pytest.approx(0, abs=1e-12)
    with torch.no_grad():
        for level, side in enumerate(encoding.layout.resolutions):
            ramp = torch.arange(side).repeat(side).float()[:, None].expand(-1, 4)
            encoding.planes[0][slice(*encoding.layout.offsets[level : level + 2])] = ramp
    # One of three planes rises by one a vertex along one axis: a mean square of 1.
    assert encoding.terms(EVAL)["smoothness"].item() == pytest.approx(0.5 / 3)
    assert not Triplane(smoothness=0).encoding(2, 64, generator()).terms(EVAL)


def test_groups_name_every_parameter_once_and_as_the_state_does() -> None:
    field = SMALL.build(Bounds(), generator())
    names = list(itertools.chain.from_iterable(group.parameters for group in field.parameter_groups()))
    assert sorted(names) == sorted(name for name, _ in field.named_parameters())


@pytest.mark.bad_input
def test_a_line_has_no_planes() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        SMALL.encoding(1, 8)
