"""``docs/photographs.md``: scenes from photographs alone, through other lenses, and of more photographs than memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.lenses import PINHOLE
from benchmarks.markdown import table
from benchmarks.record import read

RESULTS = ("registration", "lenses", "many_photographs")
INTRODUCTION = """# From photographs

Written by `python -m benchmarks.tables` from `benchmarks/results`: `registration.json`, `lenses.json` and
`many_photographs.json`, which hold machine, commit and scope of every row.

## Without poses

`scenekit process` on the photographs alone, `scenekit train -r gaussians` on the capture that it made, `scenekit
evaluate` on the held-out photographs (`python -m benchmarks.registration`). *In all* is the wall clock of the three.
*Centres off* is how far the cameras are from the poses that came with the photographs, after a similarity, in
hundredths of the cameras' mean distance from their middle: root mean square, and at most.
"""
LENSES = """## Through lenses

The synthetic capture, photographed through each lens, with a field and Gaussians trained through it
(`python -m benchmarks.lenses`). All are judged on the same held-out pinhole photographs; *own* are the same views
through the lens itself, and *pinhole's* is what the scene learnt through the pinhole shows through that lens. An
orthographic camera photographs what is near no larger than what is far, where a pinhole asks for more than was seen;
a panorama is mostly empty around a still life, which makes its own views look good. Figures are means over seeds from 0
on; a lens with one seed is to be compared with the pinhole's first:
"""
MANY = """## More than memory holds

Generated photographs, decoded on demand into a cache of bounded size (`python -m benchmarks.many_photographs`);
peaks are of the whole process, Python and its libraries included.
"""


def photographs_page() -> str:
    """The whole page."""
    return f"{INTRODUCTION}\n{registration()}\n\n{LENSES.rstrip()} {first_seed()}\n\n{lenses()}\n\n{MANY}\n{many()}\n"


def registration() -> str:
    """One line a folder of photographs."""
    head = (
        "photographs",
        "placed",
        "error",
        "centres off",
        "in all",
        "cores, load",
        "PSNR",
        "with given poses",
        "scope",
    )
    return table(
        head,
        (
            (
                name,
                f"{row['placed']} of {row['photographs']}",
                f"{row['reprojection_pixels']:.2f} pixels",
                _centres(row),
                f"{row['chain_seconds']:.0f} s",
                f"{row['machine']['cores']}, {row['load']:.1f}",
                f"{row['psnr']:.2f} dB",
                f"{row['psnr_given_poses']:.2f} dB" if "psnr_given_poses" in row else "",
                f"{row['steps']} steps; {row['scope']}",
            )
            for name, row in read("registration")["rows"].items()
        ),
    )


def _centres(row: Mapping[str, Any]) -> str:
    if "centre_error_percent" not in row:
        return ""
    return f"{row['centre_error_percent']:.2f}, {row['largest_centre_error_percent']:.2f} %"


def lenses() -> str:
    """One line a lens, Gaussians before fields."""
    rows = read("lenses")["rows"]
    plain = rows[PINHOLE]
    kinds = [f"{kind}{of}" for kind in ("gaussians", "hash_grid") for of in ("", ", own", ", pinhole's")]
    return table(
        ("lens", "photographs", *kinds, "steps, seeds"),
        (
            (
                name,
                f"{row['size'][0]}x{row['size'][1]}",
                *(cell for kind in ("gaussians", "hash_grid") for cell in _judgements(row, plain, kind, name)),
                f"{row['steps']['gaussians']}, {row['steps']['hash_grid']}; {len(row['gaussians_each'])}",
            )
            for name, row in rows.items()
        ),
    )


def first_seed() -> str:
    """Through the pinhole, of either kind."""
    plain = read("lenses")["rows"][PINHOLE]
    return " and ".join(f"{plain[f'{kind}_each'][0]:.2f} dB ({kind})" for kind in ("gaussians", "hash_grid")) + "."


def _judgements(row: Mapping[str, Any], plain: Mapping[str, Any], kind: str, lens: str) -> list[str]:
    """Through the pinhole, through the lens, and the pinhole's own scene through the lens."""
    strange = plain[kind] if lens == PINHOLE else plain[f"{kind}_through"][lens]
    return [f"{psnr:.2f} dB" for psnr in (row[kind], row[f"{kind}_own"], strange)]


def many() -> str:
    """One line a representation."""
    head = ("representation", "photographs", "decoded", "cache", "predicted", "peak", "training")
    return table(
        head,
        (
            (
                name,
                f"{row['images']:,} of {row['size'][0]}x{row['size'][1]}",
                f"{row['decoded_gib']:.1f} GiB",
                f"{row['cache_gib']:g} GiB",
                f"{row['predicted_gib']:.2f} GiB",
                f"{row['peak_gib']:.2f} GiB",
                f"{row['steps']} steps in {row['seconds']:.0f} s",
            )
            for name, row in read("many_photographs")["rows"].items()
        ),
    )
