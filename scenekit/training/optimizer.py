"""Adam over named groups whose rows may change between steps, and Muon over those of matrices that ask for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scenekit.core.protocols import Change, ParameterGroup
from scenekit.kernels.adam import NUMBERS, adam_, adam_numbers
from scenekit.training.muon import Muon, muon_numbers

MATRIX = 2  # dimensions


class _Piece(NamedTuple):
    """Rows of a parameter that have one weight decay; all of them where ``rows`` is None."""

    name: str
    parameter: torch.nn.Parameter
    group: ParameterGroup
    rows: slice | None
    weight_decay: float

    def of(self, tensor: Tensor) -> Tensor:
        """These rows of the parameter or of what has its shape."""
        return tensor if self.rows is None else tensor[self.rows]

    def numbers(self, progress: float, step: int, batches: int) -> list[float]:
        """What an update reads of this piece at this step, counted from 1, that sees so many batches at once: moments
        forget as much a batch as ever."""
        rate = self.group.rate(progress, batches)
        first, second = (beta**batches for beta in self.group.betas)
        if self.group.orthogonal:
            found = muon_numbers(learning_rate=rate, momentum=first)
            return found + [0.0] * (NUMBERS - len(found))
        return adam_numbers(
            learning_rate=rate,
            betas=(first, second),
            eps=self.group.eps / math.sqrt(batches),
            weight_decay=self.weight_decay,
            step=step,
        )


class _State(NamedTuple):
    """What a step changes of a piece: rows of its parameter, which is at ``place``, and of both moments."""

    place: tuple[int, torch.Size]
    values: Tensor
    first: Tensor
    second: Tensor


class Optimizer:
    """Adam or Muon, with a rate per group; moments follow the rows that densification keeps, copies and makes.

    Attributes:
        groups: what learns.
        batches: how many a step sees at once of those that the groups' rates are for.
        bad: of every part of a parameter, whether a guarded update has met a gradient of it that is no number.
    """

    def __init__(self, groups: Sequence[ParameterGroup], batches: int = 1) -> None:
        self.groups = list(groups)
        self.batches = batches
        names = [name for group in self.groups for name in group.parameters]
        if len(set(names)) != len(names):
            raise ValueError(f"parameter names: wanted each once, found {sorted(names)}")
        for group in self.groups:
            for name, parameter in group.parameters.items():
                if group.decays and sum(rows for rows, _ in group.decays) != len(parameter):
                    raise ValueError(f"decays of {name}: wanted {len(parameter)} rows in all, found {group.decays}")
                if group.orthogonal and (parameter.dim() != MATRIX or group.decays):
                    found = list(parameter.shape)
                    raise ValueError(f"{name}: wanted a matrix without decays to make steps orthogonal, found {found}")
        self.count = 0
        self._pieces = list(_pieces(self.groups))  # in the order of their rows of numbers
        device = self._pieces[0].parameter.device if self._pieces else None
        self._numbers = torch.zeros(len(self._pieces), NUMBERS, device=device)
        self.bad = torch.zeros(len(self._pieces), dtype=torch.int32, device=device)
        self._moments = {
            name: (torch.zeros_like(p), torch.zeros_like(p))
            for group in self.groups
            for name, p in group.parameters.items()
            if not group.orthogonal
        }
        self._muons = list(self._orthogonal())
        self._states: dict[int, _State] = {}  # by row of numbers; forgotten when moments are others

    def _orthogonal(self) -> Iterator[Muon]:
        """One for the matrices of every group that asks for it."""
        first = 0
        for group in self.groups:
            if group.orthogonal:
                yield Muon(group.parameters, self._numbers, self.bad, first)
            first += sum(piece.group is group for piece in self._pieces)

    def step(self, progress: float, *, guarded: bool = False) -> None:
        """One step for every parameter that has a gradient; the gradients are dropped."""
        self.advance(progress)
        self.update(guarded=guarded)

    def advance(self, progress: float) -> None:
        """Count a step, and put its rates and corrections where :meth:`update` reads them.

        Stays outside of a CUDA graph that captures updates; does not wait for the device.
        """
        self.count += 1
        rows = [piece.numbers(progress, self.count, self.batches) for piece in self._pieces]
        if rows:
            self._numbers.copy_(torch.tensor(rows, dtype=torch.float32), non_blocking=True)

    def update(self, *, clear: bool = False, guarded: bool = False) -> None:
        """Change every parameter that has a gradient by the numbers of the last :meth:`advance`.

        Gradients are dropped, or with ``clear`` kept as zeros. ``guarded`` leaves entries alone whose gradient is NaN
        or infinite and remembers in ``bad`` which parameters had any.
        """
        taken = [(row, piece) for row, piece in enumerate(self._pieces) if piece.parameter.grad is not None]
        for muon in self._muons:
            muon.update(clear=clear)
        adam = [(row, piece) for row, piece in taken if not piece.group.orthogonal]
        if adam:
            self._adam(adam, clear, self.bad if guarded else None)
        if not clear:
            for _, piece in taken:
                piece.parameter.grad = None

    def _adam(self, taken: Sequence[tuple[int, _Piece]], clear: bool, bad: Tensor | None) -> None:
        states = [self._state(row, piece) for row, piece in taken]
        adam_(
            [state.values for state in states],
            [piece.of(piece.parameter.grad) for _, piece in taken if piece.parameter.grad is not None],
            [state.first for state in states],
            [state.second for state in states],
            self._numbers,
            rows=[row for row, _ in taken],
            sparse=[piece.group.sparse for _, piece in taken],
            clear=clear,
            bad=bad,
        )

    def _state(self, row: int, piece: _Piece) -> _State:
        """What the piece in this row of numbers changes, as long as its parameter stays where it is."""
        place = piece.parameter.data_ptr(), piece.parameter.shape
        state = self._states.get(row)
        if state is None or state.place != place:
            first, second = self._moments[piece.name]
            state = _State(place, piece.of(piece.parameter.data), piece.of(first), piece.of(second))
            self._states[row] = state
        return state

    def apply(self, change: Change) -> None:
        """Give every ``rows`` group its new rows and put replaced values in place, without this step's gradients."""
        self._states.clear()
        for name, values in change.replaced.items():
            parameter = next(group.parameters[name] for group in self.groups if name in group.parameters)
            parameter.data = values.detach()
            parameter.grad = None
            if name in self._moments:
                self._moments[name] = (torch.zeros_like(values), torch.zeros_like(values))
            for muon in self._muons:
                if name in muon.matrices:
                    muon.forget(name)
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
        """The step count and the moments by parameter name; of Muon's, the momentum."""
        return {
            "count": self.count,
            "first": {name: first for name, (first, _) in self._moments.items()},
            "second": {name: second for name, (_, second) in self._moments.items()},
            "momentum": self._momenta(),
        }

    def _momenta(self) -> dict[str, Tensor]:
        """Of all that Muon moves."""
        return {name: momentum for muon in self._muons for name, momentum in muon.momenta.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue; raises ValueError where the names disagree."""
        momenta = self._momenta()
        for wanted, found in ((self._moments, state["first"]), (momenta, state.get("momentum", {}))):
            if set(wanted) != set(found):
                raise ValueError(f"optimizer: wanted {sorted(wanted)}, found {sorted(found)}")
        self.count = int(state["count"])
        self._moments = {name: (state["first"][name], state["second"][name]) for name in state["first"]}
        for name, momentum in momenta.items():
            momentum.copy_(state["momentum"][name])
        self._states.clear()


def _pieces(groups: Sequence[ParameterGroup]) -> Iterator[_Piece]:
    for group in groups:
        for name, parameter in group.parameters.items():
            begin = 0
            for rows, decay in group.decays:
                yield _Piece(name, parameter, group, slice(begin, begin + rows), decay)
                begin += rows
            if not group.decays:
                yield _Piece(name, parameter, group, None, group.weight_decay)
