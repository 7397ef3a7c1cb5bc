"""``docs/gpu.md``: what kernels take on a GPU, and what a second GPU is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.markdown import table
from benchmarks.record import read

INTRODUCTION = """# On a GPU

Written by `python -m benchmarks.tables` from `benchmarks/results/`: `kernels.json`, which `python -m benchmarks.kernels
--output` writes, `encoding_mlp.json`, with `--only "hash_grid + mlp"`, `distributed.json` and `signal_fit.json`, which
`python -m benchmarks.distributed` and `python -m benchmarks.signal_fit --keep` do. README has trainings, frames and
Gaussians.
"""
KERNELS = """## Encodings

Milliseconds of the GPU for 2^20 points, medians of 30 calls by CUDA events, autograd included; *both* is forward and
the gradient of the table; *reference* is the plain torch body on the same GPU. Points are random in the cube; on rays,
1,024 steps along each; or a surface's, 32 samples in a thin shell seen by neighbouring pixels. The largest error is a
fraction of the reference's largest value."""
NETWORK = """## Encoding and a small network

The same for 16 levels of 2 features, 2^19 entries a level, and a network of one hidden layer of 64 with 16 outputs on
them; *both* has the gradients of table and weights. Products are float32, or of halves with float32 sums."""
SIZES = """## Cost against size

One step, forward and back, from the smallest to the largest of four sizes, each ten times the one before
(`python -m benchmarks.growth_gpu`): milliseconds of the GPU, memory beyond what stood before, and the exponents with
which they grow in the last decade."""
PROCESSES = """## Two GPUs

As many samples or photographs in two processes as in one, each on a GPU of its own, in half of the steps. Where the
commit is 99723e911d9c, the seconds that NCCL takes to begin are part of the training; they are not any more. Where it
is that or later, learning rates grow with the root of the number of processes, and Gaussians' steps are recorded as
CUDA graphs in all processes together.

A second GPU is worth 1.75 times the samples at the same PSNR to a hash grid that looks at 2^20 a step for 10,000 steps;
in shorter trainings half of the steps cost decibels. Of Gaussians with one photograph a step the host is the limit: of
a step of 2.0 ms it takes 1.9, 0.6 of these for two messages between the processes (400 steps after densification). With
`--batch-photographs 4` a GPU's own work is: once densification is over, 3,000 photographs take 2.0 s instead of 3.9
(1.9 times as fast), but 2.8 instead of 4.5 before, when every 100 of them rows change, and a step is run and recorded
anew in both processes; the first 3,000, with all that is done once, take 3.9 s in one process as in two."""
IMAGE = """## A photograph of 65 megapixels

`highsmith.jpg`, all pixels judged; seconds are those of the training's steps."""


def gpu_page() -> str:
    """The whole page."""
    kernels, fits = read("kernels"), read("signal_fit")["rows"]
    networks = read("encoding_mlp")
    parts = [INTRODUCTION.rstrip(), KERNELS, _measured_on(kernels), encodings(kernels["rows"])]
    parts += [NETWORK, _measured_on(networks), encodings_with_network(networks["rows"])]
    parts += [SIZES, growth(read("growth_gpu")["rows"])]
    parts += [PROCESSES, processes(read("distributed")["rows"])]
    parts += [IMAGE, *map(_fit, fits.values())]
    return "\n\n".join(parts) + "\n"


def encodings(rows: list[Mapping[str, Any]]) -> str:
    """One line for each kind of points and layout."""
    head = ("points", "levels x features", "table", "entries a level", "forward", "both", "reference", "largest error")
    return table(
        head,
        (
            (
                row["points"],
                f"{row['L']} x {row['F']}",
                row["table"].removeprefix("torch."),
                f"2^{row['log2_T']}",
                f"{row['ours']['forward_ms']:.3f}",
                f"{row['ours']['both_ms']:.3f}",
                f"{row['reference']['forward_ms']:.1f} / {row['reference']['both_ms']:.1f}",
                f"{max(row['largest_errors']):.0e}",
            )
            for row in rows
            if row["name"] == "hash_grid"
        ),
    )


def _measured_on(kernels: Mapping[str, Any]) -> str:
    return f"{kernels['device']}, which copies {kernels['copy_tb_per_s']:.2f} TB/s, {_versions(kernels)}."


def encodings_with_network(rows: list[Mapping[str, Any]]) -> str:
    """One line for each kind of points and products."""
    return table(
        ("points", "products", "forward", "both", "reference", "largest error"),
        (
            (
                row["points"],
                {"highest": "float32", "high": "half"}[row["products"]],
                f"{row['ours']['forward_ms']:.3f}",
                f"{row['ours']['both_ms']:.3f}",
                f"{row['reference']['forward_ms']:.1f} / {row['reference']['both_ms']:.1f}",
                f"{max(row['largest_errors']):.0e}",
            )
            for row in rows
        ),
    )


def growth(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """One line for what is counted."""
    return table(
        ("counted", "sizes", "milliseconds", "MiB", "time", "memory", "GPU"),
        (
            (
                name,
                f"{row['points'][0]['size']:,} to {row['points'][-1]['size']:,}",
                ", ".join(f"{point['milliseconds']:.3g}" for point in row["points"]),
                ", ".join(f"{point['bytes'] / 2**20:.3g}" for point in row["points"]),
                f"{row['last_exponent']:.2f}",
                f"{row['last_memory_exponent']:.2f}",
                row["device"],
            )
            for name, row in rows.items()
        ),
    )


def processes(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """One line for each training."""
    return table(
        ("training", "GPUs", "steps", "one", "several", "speedup", "PSNR of one", "PSNR", "commit"),
        (
            (
                name,
                f"{row['processes']} {row['device']}",
                f"{row['steps_of_one']}, {row['steps']}",
                f"{row['rate_of_one']:.3g} {row['unit']}",
                f"{row['rate']:.3g}",
                f"{row['speedup']:.2f}",
                f"{row['psnr_of_one']:.2f} dB",
                f"{row['psnr']:.2f} dB",
                row["machine"]["commit"],
            )
            for name, row in rows.items()
        ),
    )


def _fit(row: Mapping[str, Any]) -> str:
    lines = (
        (each["representation"], f"{each['parameters']:,}", f"{each['wall_seconds']:.2f} s", f"{each['psnr']:.2f} dB")
        for each in row["rows"]
    )
    scope = f"{row['steps']} steps of {row['points']:,} points, {row['device']}, {_versions(row)}."
    return f"{scope}\n\n{table(('representation', 'parameters', 'steps take', 'PSNR'), lines)}"


def _versions(row: Mapping[str, Any]) -> str:
    return f"torch {row['machine']['torch']}, commit {row['machine']['commit']}"
