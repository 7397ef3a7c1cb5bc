"""A training whose rows are dealt to several processes: how the first sees all of it, and how it becomes one again.

The first process alone keeps time and writes. It says between steps whether they go on or its state is wanted whole;
the others wait for that word before every step, so that a checkpoint or Ctrl-C finds all of them in the same place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

from torch import nn

from scenekit.core.protocols import Controller
from scenekit.core.rows import Dealt, Undivided
from scenekit.representations.gaussians import GaussianModel
from scenekit.training.controllers.densify import DefaultDensification
from scenekit.training.ranks import total_count


class Word(IntEnum):
    """What the first process says."""

    GO_ON = 0
    MERGE = 1
    PART = 2


class Division:
    """The rows of a training that several processes share.

    Args:
        dealt: who has which.
        model: that holds ours.
        paths: in a state, joined by slashes, of what has one entry for each row.
    """

    def __init__(self, dealt: Dealt, model: GaussianModel, paths: Iterable[str]) -> None:
        self.dealt = dealt
        self.model = model
        self.paths = sorted(paths)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Of which each process holds rows of its own."""
        return list(self.model.parameters())

    @property
    def first(self) -> bool:
        """Whether this process is the one that says what happens."""
        return self.dealt.share.rank == 0

    def anywhere(self, name: str | None) -> str | None:
        """What was found here, or that another process has found something."""
        found = total_count(self.dealt.share, int(name is not None))
        return "a parameter of another process" if found and name is None else name

    def merged(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """In the first process the state of the whole, its rows in main memory; all processes call it together."""
        found = {path: self.dealt.gathered(_at(state, path)) for path in self.paths}
        return _replaced(state, {path: whole for path, whole in found.items() if whole is not None})

    def dealt_out(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Our part of the state of a whole, whoever had which before."""
        columns = {path: _at(state, path) for path in self.paths}
        self.dealt.deal(len(columns[self.paths[0]]))
        return _replaced(state, {path: self.dealt.own(column) for path, column in columns.items()})

    def part(self) -> None:
        """Put all rows into the first process's model; all processes call it together."""
        for name, parameter in self.model.learnable.items():
            whole = self.dealt.gathered(parameter.data)
            if whole is not None:
                self.model.learnable[name].data = whole.to(parameter.device)
                parameter.grad = None
        self.model.rows = Undivided()


def paths_by_row(renderer: nn.Module, model: GaussianModel, controllers: Iterable[Controller]) -> list[str]:
    """Where a training of photographs keeps what has one entry for each row; see :class:`Division`."""
    ours = {id(parameter) for parameter in model.parameters()}
    paths = [f"objective/renderer/{name}" for name, p in renderer.named_parameters() if id(p) in ours]
    paths += [f"optimizer/{moment}/{name}" for moment in ("first", "second") for name in model.learnable]
    for index, controller in enumerate(controllers):
        if isinstance(controller, DefaultDensification):
            paths += [f"controller{index}/{column}" for column in controller.columns]
    return paths


def _at(state: Mapping[str, Any], path: str) -> Any:
    value: Any = state
    for part in path.split("/"):
        value = value[part]
    return value


def _replaced(state: Mapping[str, Any], values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The same nested dictionaries with other values at some paths."""
    return {
        key: _replaced(value, values, f"{prefix}{key}/")
        if isinstance(value, Mapping)
        else values.get(f"{prefix}{key}", value)
        for key, value in state.items()
    }
