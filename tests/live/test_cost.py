import pytest

from scenekit.live.cost import UNKNOWN_PIXELS, CostModel


def learned(sizes, fixed, each):
    cost = CostModel()
    for pixels in sizes:
        cost.learn(pixels, fixed + each * pixels)
    return cost


def test_the_fixed_part_is_told_from_the_pixels():
    cost = learned([1000, 50_000, 2000, 200_000], fixed=0.02, each=1e-6)
    assert cost.pixels_within(0.06) == pytest.approx(40_000, rel=0.05)


def test_pictures_of_one_size_charge_everything_to_the_pixels():
    assert learned([1000] * 5, fixed=0.0, each=1e-4).pixels_within(0.06) == pytest.approx(600, abs=1)


def test_pictures_do_not_shrink_for_ever_where_the_fixed_part_is_most_of_the_budget():
    cost = CostModel()
    pixels = UNKNOWN_PIXELS
    for _ in range(20):
        cost.learn(pixels, 0.05 + 1e-7 * pixels)
        pixels = min(cost.pixels_within(0.06), 230_400)
    assert pixels > UNKNOWN_PIXELS / 2


def test_something_is_tried_when_nothing_is_known_or_nothing_fits():
    assert CostModel().pixels_within(0.06) == UNKNOWN_PIXELS
    assert learned([100, 10_000], fixed=1.0, each=1e-5).pixels_within(0.06) == 1
