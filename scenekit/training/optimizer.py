"""Adam over named groups whose rows may change between steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scenekit.core.protocols import Change, ParameterGroup
from scenekit.kernels.adam import adam_


class Optimizer:
    """Adam with a rate per group; moments follow the rows that densification keeps, copies and makes."""

    def __init__(self, groups: Sequence[ParameterGroup]) -> None:
        self.groups = list(groups)
        names = [name for group in self.groups for name in group.parameters]
        if len(set(names)) != len(names):
            raise ValueError(f"parameter names: wanted each once, found {sorted(names)}")
        self.count = 0
        device = next((p.device for group in self.groups for p in group.parameters.values()), torch.device("cpu"))
        self.spoilt = torch.zeros(1, device=device, dtype=torch.int32)
        self._moments = {
            name: (torch.zeros_like(p), torch.zeros_like(p))
            for group in self.groups
            for name, p in group.parameters.items()
        }

    def step(self, progress: float) -> None:
        """One step for every parameter that has a gradient; the gradients are dropped."""
        self.count += 1
        for group in self.groups:
            rate = group.learning_rate(progress)
            for name, parameter in group.parameters.items():
                if parameter.grad is None:
                    continue
                first, second = self._moments[name]
                adam_(
                    parameter.data,
                    parameter.grad,
                    first,
                    second,
                    learning_rate=rate,
                    betas=group.betas,
                    eps=group.eps,
                    weight_decay=group.weight_decay,
                    step=self.count,
                    sparse=group.sparse,
                )
                parameter.grad = None

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
