"""How exact products of float32 matrices have to be."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def quick_products(device: torch.device) -> Generator[None]:
    """On a GPU, leave matrix products to its tensor cores while this lasts (torch's own switch, "high").

    Our networks then round what they multiply to half precision, torch's products to TF32; sums stay float32. Where
    ``SCENEKIT_PRECISION`` is ``float32`` nothing changes, and on a CPU nothing ever does.
    """
    before = torch.get_float32_matmul_precision()
    if device.type != "cuda" or before != "highest" or os.environ.get("SCENEKIT_PRECISION", "") == "float32":
        yield
        return
    with _products("high"):
        yield


@contextmanager
def exact_products(device: torch.device) -> Generator[None]:
    """On a GPU, take products in float32 while this lasts, also within :func:`quick_products`."""
    if device.type != "cuda" or torch.get_float32_matmul_precision() == "highest":
        yield
        return
    with _products("highest"):
        yield


@contextmanager
def _products(precision: str) -> Generator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
