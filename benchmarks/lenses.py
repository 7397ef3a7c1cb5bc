"""What training through a lens costs: the synthetic capture photographed through each, judged through a pinhole.

    python -m benchmarks.lenses [LENS ...] [--size 96] [--gaussians-steps 1200] [--hash-grid-steps 800]
        [--seeds 3]

Every lens sees the still life from the same places and as large as the pinhole does. A field and Gaussians are trained
through each lens with the same steps and seeds, and all are judged on the same held-out pinhole photographs, which none
has seen; ``own`` are the decibels of the same views through the lens itself. An orthographic camera sees what is near
no larger than what is far, where a pinhole asks for more than was photographed: there the two differ. So the scenes
that were trained through the pinhole are judged through every other lens too, which is as strange to them: ``through``
in its row. A figure is the mean over the seeds; each seed's own stands beside it, since fields of so few photographs
differ by more between seeds than a lens is allowed to cost. Figures go to ``benchmarks/results/lenses.json``.
"""

from __future__ import annotations

import argparse
import math
from statistics import fmean
from typing import Any

import scenekit  # noqa: F401  lets torch's idle threads sleep
from benchmarks.record import keep
from scenekit.core.lenses import Lens
from scenekit.data import Capture, synthetic
from scenekit.recipes import Fitting, VolumeFitting, prepare
from scenekit.renderers.scene import Scene
from scenekit.renderers.volume import Marching
from scenekit.representations import Gaussians, HashGrid
from scenekit.representations.networks import Networks
from scenekit.training.evaluate import scores
from scenekit.training.steps import steps

PINHOLE = "pinhole"
LENSES: dict[str, Lens | None] = {
    PINHOLE: None,
    "opencv": Lens.of("perspective", k1=-0.15, k2=0.05, p1=0.002, p2=-0.001),
    "fisheye": Lens.of("equidistant", k1=0.05, k2=-0.01),
    "thin_prism": Lens.of("equidistant", k1=0.03, p1=0.002, p2=-0.002, s1=0.004, s2=-0.003),
    "equirectangular": Lens.of("equirectangular"),
    "orthographic": Lens.of("orthographic"),
}
FIELD = HashGrid(log2_table=15, finest=256, networks=Networks(width=32, color_layers=1))
FIELD_FITTING = VolumeFitting(2**16, Marching(steps=256, coarse_until=0.1, grid=64), 2**16)


def capture_of(name: str, side: int) -> Capture:
    """The still life through a lens; a panorama has the pinhole's pixels per degree in its middle."""
    if name != "equirectangular":
        return synthetic.make(size=(side, side), lens=LENSES[name])
    width = round(2 * math.pi * 0.5 * side / math.tan(synthetic.FIELD_OF_VIEW / 2) / 8) * 8
    return synthetic.make(size=(width, width // 2), lens=LENSES[name])


def measure(name: str, side: int, counts: dict[str, int], seeds: int) -> dict[str, Any]:
    """Train both through one lens, once for each seed, and judge both through the pinhole."""
    capture, plain = capture_of(name, side), synthetic.make(size=(side, side))
    others = {other: capture_of(other, side) for other in LENSES if other != name} if name == PINHOLE else {}
    result: dict[str, Any] = {"size": list(capture.cameras.sizes[0])}
    for kind, config, fitting in (("gaussians", Gaussians(max_count=20000), None), ("hash_grid", FIELD, FIELD_FITTING)):
        each, own, through = [], [], {other: [] for other in others}
        for seed in range(seeds):
            session = prepare(capture, config, Fitting(steps=counts[kind], seed=seed), fitting)
            for _ in steps(session.training):
                pass
            each.append(_judged(session.scene, plain))
            own.append(_judged(session.scene, capture))
            for other, photographs in others.items():
                through[other].append(_judged(session.scene, photographs))
        result |= {kind: round(fmean(each), 2), f"{kind}_own": round(fmean(own), 2)}
        result[f"{kind}_each"] = [round(psnr, 2) for psnr in each]
        if others:
            result[f"{kind}_through"] = {other: round(fmean(found), 2) for other, found in through.items()}
    return result


def _judged(scene: Scene, capture: Capture) -> float:
    """The mean of its held-out views."""
    held = list(capture.test)
    images, names = [capture.images[i] for i in held], [capture.names[i] for i in held]
    return fmean(score.psnr for score in scores(scene, capture.cameras[held], images, names))


def main() -> None:
    parser = argparse.ArgumentParser(description="What training through a lens costs.")
    parser.add_argument("lenses", nargs="*", default=list(LENSES))
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--gaussians-steps", type=int, default=1200)
    parser.add_argument("--hash-grid-steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    counts = {"gaussians": options.gaussians_steps, "hash_grid": options.hash_grid_steps}
    judged = f"synthetic, 24 views, held-out pinhole views at {options.size}x{options.size}, white, cpu"
    over = "seed 0" if options.seeds == 1 else f"mean over seeds 0 to {options.seeds - 1}"
    scope = f"{judged}, {over}"
    for name in options.lenses:
        keep("lenses", name, measure(name, options.size, counts, options.seeds) | {"scope": scope, "steps": counts})


if __name__ == "__main__":
    main()
