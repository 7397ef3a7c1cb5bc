"""Adam over named groups whose rows may change between steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scenekit.core.protocols import Change, ParameterGroup
from scenekit.kernels.adam import NUMBERS, adam_, adam_numbers


class Optimizer:
    """Adam with a rate per group; moments follow the rows that densification keeps, copies and makes.

    Attributes:
        groups: what learns.
        bad: of every parameter, whether a guarded update has met a gradient of it that is no number.
    """

    def __init__(self, groups: Sequence[ParameterGroup]) -> None:
        self.groups = list(groups)
        names = [name for group in self.groups for name in group.parameters]
        if len(set(names)) != len(names):
            raise ValueError(f"parameter names: wanted each once, found {sorted(names)}")
        self.count = 0
        device = next((p.device for _, p, _ in self._listed()), None)
        self._numbers = torch.zeros(len(names), NUMBERS, device=device)
        self.bad = torch.zeros(len(names), dtype=torch.int32, device=device)
        self._moments = {
            name: (torch.zeros_like(p), torch.zeros_like(p))
            for group in self.groups
            for name, p in group.parameters.items()
        }

    def step(self, progress: float, *, guarded: bool = False) -> None:
        """One step for every parameter that has a gradient; the gradients are dropped."""
        self.advance(progress)
        self.update(guarded=guarded)

    def advance(self, progress: float) -> None:
        """Count a step, and put its rates and corrections where :meth:`update` reads them.

        Stays outside of a CUDA graph that captures updates; does not wait for the device.
        """
        self.count += 1
        rows: list[list[float]] = []
        for group in self.groups:
            row = adam_numbers(
                learning_rate=group.learning_rate(progress),
                betas=group.betas,
                eps=group.eps,
                weight_decay=group.weight_decay,
                step=self.count,
            )
            rows += [row] * len(group.parameters)
        if rows:
            self._numbers.copy_(torch.tensor(rows, dtype=torch.float32), non_blocking=True)

    def update(self, *, clear: bool = False, guarded: bool = False) -> None:
        """Change every parameter that has a gradient by the numbers of the last :meth:`advance`.

        Gradients are dropped, or with ``clear`` kept as zeros. ``guarded`` leaves entries alone whose gradient is NaN
        or infinite and remembers in ``bad`` which parameters had any.
        """
        taken = [(row, *part) for row, part in enumerate(self._listed()) if part[1].grad is not None]
        if not taken:
            return
        adam_(
            [parameter.data for _, _, parameter, _ in taken],
            [parameter.grad for _, _, parameter, _ in taken if parameter.grad is not None],
            [self._moments[name][0] for _, name, _, _ in taken],
            [self._moments[name][1] for _, name, _, _ in taken],
            self._numbers,
            rows=[row for row, *_ in taken],
            sparse=[group.sparse for *_, group in taken],
            clear=clear,
            bad=self.bad if guarded else None,
        )
        if not clear:
            for _, _, parameter, _ in taken:
                parameter.grad = None

    def _listed(self) -> Iterator[tuple[str, torch.nn.Parameter, ParameterGroup]]:
        """All parameters in the order of their rows of numbers."""
        return ((name, p, group) for group in self.groups for name, p in group.parameters.items())

    def apply(self, change: Change) -> None:
        """Give every ``rows`` group its new rows and put replaced values in place, without this step's gradients."""
        for name, values in change.replaced.items():
            parameter = next(group.parameters[name] for group in self.groups if name in group.parameters)
            parameter.data = values.detach()
            parameter.grad = None
            self._moments[name] = (torch.zeros_like(values), torch.zeros_like(values))
        if change.replaced:
            return
        for group in self.groups:
            if not group.rows:
                continue
            for name, parameter in group.parameters.items():
                values = change.values.get(name)
                parameter.data = parameter.data[change.sources] if values is None else values.detach()
                parameter.grad = None
                self._moments[name] = (
                    self._moved(self._moments[name][0], name, change),
                    self._moved(self._moments[name][1], name, change),
                )

    @staticmethod
    def _moved(moment: Tensor, name: str, change: Change) -> Tensor:
        moved = moment[change.sources]
        if name in change.forget:
            return moved.zero_()
        moved[change.fresh] = 0
        return moved

    def state_dict(self) -> dict[str, Any]:
        """The step count and the moments by parameter name."""
        return {
            "count": self.count,
            "first": {name: first for name, (first, _) in self._moments.items()},
            "second": {name: second for name, (_, second) in self._moments.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue; raises ValueError where the names disagree."""
        if set(state["first"]) != set(self._moments):
            raise ValueError(f"optimizer: wanted {sorted(self._moments)}, found {sorted(state['first'])}")
        self.count = int(state["count"])
        self._moments = {name: (state["first"][name], state["second"][name]) for name in state["first"]}
