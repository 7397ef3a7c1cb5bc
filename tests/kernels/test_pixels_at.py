"""Pixels by their numbers: of photographs in bytes, of pictures in halves, of pictures without values."""

from __future__ import annotations

import pytest
import torch

from scenekit.kernels import pixels_at

WIDTHS = torch.tensor([3, 2])
STARTS = torch.tensor([0, 6, 10])  # 3x2 and 2x2 pixels
INDEX = torch.tensor([0, 5, 6, 9])


def test_numbers_count_row_by_row_through_all_pictures():
    found = pixels_at(INDEX, STARTS, WIDTHS, torch.zeros(10, 0, dtype=torch.uint8))
    assert found.cameras.tolist() == [0, 0, 1, 1]
    assert found.positions.tolist() == [[0.5, 0.5], [2.5, 1.5], [0.5, 0.5], [1.5, 1.5]]
    assert found.colors.shape == (4, 0)


def test_bytes_are_parts_of_one_and_halves_what_they_are():
    values = torch.arange(50).view(10, 5)
    assert torch.equal(pixels_at(INDEX, STARTS, WIDTHS, values.byte()).colors, values[INDEX].float() / 255)
    halves = (values - 7.5).half()
    found = pixels_at(INDEX, STARTS, WIDTHS, halves).colors
    assert found.dtype == torch.float32
    assert torch.equal(found, halves[INDEX].float())


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="wanted bytes or halves"):
        pixels_at(INDEX, STARTS, WIDTHS, torch.zeros(10, 3))
