"""Holds the memory that ``train`` predicts against the peak of its process, for small and medium sizes.

    SCENEKIT_DATA=/folder/of/captures python -m benchmarks.memory [ROW ...]

Every row is a short training, three times, in a process of its own; ``off`` is the prediction over the measured peak,
less one, in the run where that is the farthest from nothing, and ``peaks_mib`` holds all; on a GPU ``gpu_off`` is the
same of its own memory, as nvidia-smi counts it, with the driver's part: nobody else may use it. What is predicted is as
many Gaussians as there may be: of bonsai there are so many from the start. Of fox and lego points are triangulated
before a training of Gaussians, and photographs of fox are undistorted. Rows ``...-gpu`` need a GPU. Results go to
``benchmarks/results/memory.json``. The promise is 20 %.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import call, data, keep

LIMIT = 0.2
RUNS = 3
GROWING = ("--minutes", "1.5", "--downscale", "2", "--batch-samples", "16384")  # with a checkpoint beside, once grown
SPLATS = ("gaussians", "--steps", "120", "--downscale")
FIELD = ("hash_grid", "--log2-table", "17", "--networks.width", "32", "--steps", "60", "--downscale")
ON_GPU = ("--preset", "gpu", "--minutes", "0.2")
LARGE_ON_GPU = ("--preset", "gpu", "--minutes", "1.1")  # where what a checkpoint copies weighs: with one
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "gaussians-small": ("synthetic", (*SPLATS, "2", "--max-count", "10000")),
    "gaussians-medium": ("bonsai", (*SPLATS, "2", "--max-count", "40000")),
    "gaussians-large": ("bonsai", (*SPLATS, "1", "--max-count", "60000")),
    "gaussians-points-fox": ("fox", (*SPLATS, "4", "--max-count", "20000")),
    "gaussians-points-lego": ("lego", (*SPLATS, "8", "--max-count", "20000")),
    "hash_grid-small": ("synthetic", (*FIELD, "2", "--batch-samples", "32768")),
    "hash_grid-fox": ("fox", (*FIELD, "4", "--batch-samples", "32768")),
    "hash_grid-medium": ("bonsai", (*FIELD, "2", "--batch-samples", "131072")),
    "hash_grid-large-batch": ("synthetic", (*FIELD, "2", "--batch-samples", "524288")),
    "hash_grid-gpu": ("lego", ("hash_grid", *ON_GPU)),
    "dense_grid-gpu": ("lego", ("dense_grid", *LARGE_ON_GPU)),
    "low_rank-gpu": ("lego", ("low_rank", *ON_GPU)),
    "triplane-gpu": ("lego", ("triplane", *ON_GPU)),
    "mlp-gpu": ("lego", ("mlp", *ON_GPU)),
    "gaussians-gpu": ("bonsai", ("gaussians", "--steps", "600", "--max-count", "60000")),
    "dense_grid-growing": ("synthetic", ("dense_grid", *GROWING)),
    "low_rank-growing": ("synthetic", ("low_rank", *GROWING)),
    "triplane-small": ("synthetic", ("triplane", "--steps", "25", "--downscale", "2", "--batch-samples", "32768")),
}


def measure(capture: str, options: tuple[str, ...]) -> dict[str, Any]:
    path = capture if capture == "synthetic" else str(data() / capture)
    runs = [trained(path, options) for _ in range(RUNS)]
    found: dict[str, Any] = {"limit": LIMIT}
    for kind, prefix in (("memory", ""), ("gpu_memory", "gpu_")):
        if f"peak_{kind}_bytes" in runs[0]:
            predicted = runs[0][f"predicted_{kind}_bytes"]
            peaks = [run[f"peak_{kind}_bytes"] for run in runs]
            worst = max(peaks, key=lambda peak: abs(predicted / peak - 1))
            found[f"{prefix}predicted_mib"] = round(predicted / 2**20)
            found[f"{prefix}peak_mib"] = round(worst / 2**20)
            found[f"{prefix}off"] = round(predicted / worst - 1, 3)
            found[f"{prefix}peaks_mib"] = [round(peak / 2**20) for peak in peaks]
    scope = f"{capture}, -r {' '.join(options)}; peak resident memory of the training process, the one of {RUNS} runs"
    return found | {"scope": f"{scope} that is farthest from the prediction, {runs[0]['device']}"}


def trained(path: str, options: tuple[str, ...]) -> dict[str, Any]:
    """Figures of one training."""
    with tempfile.TemporaryDirectory() as folder, most_used() as peak:
        figures = call("train", path, "-r", *options, "-o", str(Path(folder) / "run"), "--json")
    return figures | ({"peak_gpu_memory_bytes": peak[0]} if "peak_gpu_memory_bytes" in figures else {})


@contextmanager
def most_used() -> Iterator[list[int]]:
    """The most bytes of the first GPU in use meanwhile, beyond what was in use before; known when it ends."""
    peak, over = [0], threading.Event()
    if not torch.cuda.is_available():
        yield peak
        return
    before = in_use()

    def watch() -> None:
        while not over.wait(0.1):
            peak[0] = max(peak[0], in_use() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peak
    finally:
        over.set()
        watching.join()


def in_use() -> int:
    """Bytes of the first GPU that is shown to this process, by all processes."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    asked = ["nvidia-smi", f"--id={first}", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout) * 2**20


def main(wanted: list[str]) -> None:
    served = [row for row in ROWS if torch.cuda.is_available() or not row.endswith("-gpu")]
    for row in wanted or served:
        keep("memory", row, measure(*ROWS[row]))


if __name__ == "__main__":
    main(sys.argv[1:])
