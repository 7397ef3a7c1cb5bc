"""Muon: matrices move by their momentum made orthogonal (Jordan et al. 2024), all of them at once.

Adam moves a matrix mostly along the few directions in which its gradients are large. Here every direction of the
momentum is worth as much as any other: ``m <- b m + g``, ``U S V^T = g + b m``, ``W <- W - rate U V^T``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn

from scenekit.training.replay import Replayed

NUMBERS = 2  # of a row: what :func:`muon_numbers` makes
# Of p(s) = a s + b s^3 + c s^5, which takes singular values in (0, 1] to 0.7 to 1.2 when it is repeated five times:
# steep at nothing, so that small ones come there too (Jordan et al. 2024).
QUINTIC = (3.4445, -4.7750, 2.0315)
REPEATED = 5
SMALL = 1e-30  # norm of a momentum that is taken for nothing


class Muon:
    """The matrices of an optimizer that move so, with what they remember.

    Attributes:
        matrices: by name; those without a gradient count as having one of zeros.
        momenta: of each, as views.
    """

    def __init__(
        self, matrices: Mapping[str, nn.Parameter], numbers: Float[Tensor, "T N"], bad: Int32[Tensor, " T"], first: int
    ) -> None:
        """Theirs are the rows of ``numbers`` and of ``bad`` from ``first`` on, in their order."""
        self.matrices = dict(matrices)
        rows = slice(first, first + len(self.matrices))
        self._numbers, self._bad = numbers[rows], bad[rows]
        self._renew()

    def _renew(self) -> None:
        """As many zeros as the matrices have numbers now, and nothing that knows where they were."""
        values = list(self.matrices.values())
        self._gradient, self._momentum = stack_for(values), stack_for(values)
        self._gradients = dict(zip(self.matrices, parts(self._gradient, values), strict=True))
        self.momenta = dict(zip(self.matrices, parts(self._momentum, values), strict=True))
        self._places = self._where()
        self._moved = Replayed(self._move, self._gradient.device)

    def _where(self) -> list[int]:
        return [parameter.data_ptr() for parameter in self.matrices.values()]

    @torch.no_grad()
    def update(self, *, clear: bool) -> None:
        """By the numbers as they stand; with ``clear`` gradients are zero afterwards."""
        gradients = {name: p.grad for name, p in self.matrices.items() if p.grad is not None}
        if not gradients:
            return
        if self._places != self._where():
            self._places, self._moved = self._where(), Replayed(self._move, self._gradient.device)
        for name in self.matrices.keys() - gradients.keys():
            self._gradients[name].zero_()
        places = [self._gradients[name] for name in gradients]
        torch._foreach_copy_(places, list(gradients.values()))  # type: ignore[attr-defined]
        self._moved()
        if clear:
            torch._foreach_zero_(list(gradients.values()))  # type: ignore[attr-defined]

    def _move(self) -> None:
        values = [parameter.data for parameter in self.matrices.values()]
        muon_(values, self._gradient, self._momentum, self._numbers, self._bad)

    def forget(self, name: str) -> None:
        """The momentum of a matrix that was replaced, maybe by one of another size."""
        before = self.momenta
        self._renew()
        for other in before.keys() - {name}:
            self.momenta[other].copy_(before[other])


def muon_numbers(*, learning_rate: float, momentum: float) -> list[float]:
    """The numbers of a matrix that :func:`muon_` takes; ``learning_rate`` is the spectral norm of a step."""
    return [learning_rate, momentum]


@torch.no_grad()
def muon_(
    matrices: Sequence[Tensor],
    gradients: Float[Tensor, "M R C"],
    momenta: Float[Tensor, "M R C"],
    numbers: Float[Tensor, "M N"],
    bad: Int32[Tensor, " M"],
) -> None:
    """Update matrices and their momenta in place, without waiting for a device.

    Gradients and momenta are padded as by :func:`stack_for`. A matrix whose gradient has a NaN or an infinity is left
    as it is, its momentum included, and gets a 1 in ``bad``.
    """
    rate, momentum = numbers[:, :NUMBERS, None, None].unbind(1)
    sound = gradients.sum((1, 2), keepdim=True).isfinite()
    momenta.copy_(torch.where(sound, momentum * momenta + gradients, momenta))
    steps = torch.where(sound, rate * orthogonal(gradients + momentum * momenta), 0)
    torch._foreach_sub_(list(matrices), parts(steps, matrices))  # type: ignore[attr-defined]
    bad.copy_(torch.where(sound.flatten(), bad, 1))


def orthogonal(matrices: Float[Tensor, "M R C"]) -> Float[Tensor, "M R C"]:
    """Nearly ``U V^T`` of each, by Newton and Schulz: singular values of 0.7 to 1.2 but where they are next to nothing.

    Rows and columns of zeros stay zeros.
    """
    a, b, c = QUINTIC
    found = matrices / matrices.flatten(1).norm(dim=1).clamp(min=SMALL)[:, None, None]
    for _ in range(REPEATED):
        square = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(square, square, square, beta=b, alpha=c), found, beta=a)
    return found


def stack_for(matrices: Sequence[Tensor]) -> Float[Tensor, "M R C"]:
    """Zeros for as many matrices, each as large as the largest."""
    rows, columns = (max(matrix.shape[side] for matrix in matrices) for side in (0, 1))
    return matrices[0].new_zeros(len(matrices), rows, columns)


def parts(stack: Float[Tensor, "M R C"], matrices: Sequence[Tensor]) -> list[Tensor]:
    """Of a stack, as views, what is as large as each of the matrices."""
    return [whole[: matrix.shape[0], : matrix.shape[1]] for whole, matrix in zip(stack, matrices, strict=True)]
