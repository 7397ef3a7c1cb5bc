"""One of several processes that train the same small scenes: ``python -m tests.training.team FOLDER [DEVICE]``."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from scenekit.assets.state import write_state
from scenekit.cli.processes import joined
from scenekit.core.context import WHOLE, Share
from scenekit.core.lenses import Lens
from scenekit.core.protocols import Batch, Context
from scenekit.data.synthetic import make
from scenekit.recipes import Fitting, Session, Supervision, prepare
from scenekit.recipes.configs import SplatFitting, VolumeFitting
from scenekit.renderers.volume import Marching
from scenekit.representations import Gaussians, HashGrid, LowRank
from scenekit.representations.networks import ColorNetwork, Networks
from scenekit.training.batches import PixelBatches
from scenekit.training.photographs import Photographs
from scenekit.training.steps import steps

STEPS = 24
BENT = "bent"  # Gaussians through a lens of many faces, from poses that are learnt
FIELD = VolumeFitting(batch_samples=16384, marching=Marching(steps=64, grid=16), occupancy_cells=2048)
CASES: dict[str, tuple[Any, Any]] = {
    "hash_grid": (HashGrid(levels=4, log2_table=10, finest=32, networks=Networks(width=16, color_layers=1)), FIELD),
    "low_rank": (LowRank(density_rank=2, color_rank=2, coarsest=8, finest=16, network=ColorNetwork(width=16)), FIELD),
    "gaussians": (Gaussians(max_count=900, harmonics_degree=1), SplatFitting()),
    "mcmc": (Gaussians(max_count=900, harmonics_degree=1, densification="mcmc", regularization=0.01), SplatFitting()),
    BENT: (Gaussians(max_count=900, harmonics_degree=1), SplatFitting()),
}


def session(name: str, share: Share = WHOLE, device: str = "cpu", photographs: int = 1) -> Session:
    """A small training of so many photographs a step, whose densification, where there is one, acts every eighth.

    Its rates are those of one batch: larger ones make more of rounding than a comparison bears.
    """
    representation, family = CASES[name]
    if isinstance(family, SplatFitting):
        family = replace(family, batch_photographs=photographs)
    lens = Lens.of("equidistant", k1=0.1, k2=-0.02) if name == BENT else None
    capture = make(9, (48, 48), points=500, lens=lens)
    learnt = Supervision(refine_poses=name == BENT)
    begun = prepare(capture, representation, Fitting(steps=STEPS, device=device), family, learnt, share=share)
    for controller in begun.training.controllers:
        growth = getattr(controller, "growth", None)
        if growth is not None:
            controller.growth = replace(  # type: ignore[attr-defined]
                growth, every=8 * begun.training.batches, start=0.0, stop=1.0
            )
    begun.training.optimizer.batches = 1
    return begun


@dataclass
class Doubled:
    """Pixels of one process that looks at what two would."""

    inner: PixelBatches

    def next(self, context: Context) -> Batch:
        return self.inner.of(2 * self.inner.counted(), context)

    def feedback(self, work: int, served: float) -> None:
        self.inner.feedback(work // 2, served)

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict()


def trained(begun: Session) -> dict[str, Any]:
    """All of the training's state after it, and how it went; of Gaussians the first process has all."""
    rows = list(steps(begun.training))
    state = begun.training.state_dict()
    begun.training.part()
    state["losses"] = torch.tensor([row.loss for row in rows], dtype=torch.float64)
    state["work"] = torch.tensor([row.work for row in rows])
    del state["seconds"]
    return state


def alone_with_all_the_work(name: str, device: str = "cpu") -> dict[str, Any]:
    """One process with the doubled batch."""
    begun = session(name, device=device, photographs=2)
    objective = begun.training.objective
    assert isinstance(objective, Photographs)
    if isinstance(objective.batches, PixelBatches):
        objective.batches = Doubled(objective.batches)
    return trained(begun)


def main(folder: str, device: str = "cpu") -> None:
    torch.set_num_threads(1)
    with joined() as share:
        where = f"{device}:{share.rank}" if device == "cuda" else device
        for name in CASES:
            write_state(Path(folder) / f"{name}-{share.rank}", trained(session(name, share, where)))


if __name__ == "__main__":
    main(*sys.argv[1:])
