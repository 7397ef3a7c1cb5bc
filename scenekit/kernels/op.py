"""How an operator is registered: one schema, bodies under dispatch keys, one autograd formula.

``torch.library.custom_op`` would cost twice the call overhead and load ``torch._dynamo`` at first use, and an
``autograd.Function`` around an op fails ``opcheck``; so the formula is registered under the key ``Autograd``
and calls the op again below it. Dispatch does the rest: a float32 CPU tensor reaches the C loops, anything
else the plain-torch reference, with the same parameters and the same maths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scenekit.kernels.gpu import launch

LIBRARY = torch.library.Library("scenekit", "DEF")


@dataclass(frozen=True)
class Op:
    """One operator.

    Attributes:
        name: as in ``torch.ops.scenekit.<name>``.
        reference: the plain-torch body; any device, any floating dtype.
        cpu: the body over the C library, which falls back to the reference where that cannot serve.
        cuda: the body over kernels compiled at run time; called where they serve, else the reference is.
        cuda_dtypes: floating types that the kernels take.
        differentiable: whether it has a gradient formula.
    """

    name: str
    reference: Callable[..., Any]
    cpu: Callable[..., Any] | None
    cuda: Callable[..., Any] | None
    cuda_dtypes: tuple[torch.dtype, ...]
    differentiable: bool

    def __call__(self, *arguments: Any) -> Any:
        """Run the op on checked arguments."""
        return getattr(torch.ops.scenekit, self.name)(*arguments)


def register(
    schema: str,
    reference: Callable[..., Any],
    *,
    fake: Callable[..., Any],
    cpu: Callable[..., Any] | None = None,
    cuda: Callable[..., Any] | None = None,
    cuda_dtypes: tuple[torch.dtype, ...] = (torch.float32,),
    autograd: type[torch.autograd.Function] | None = None,
) -> Op:
    """Define ``schema`` and its bodies; ``autograd`` calls the op again through :func:`below_autograd`."""
    name = schema.split("(", 1)[0]
    LIBRARY.define(schema)
    LIBRARY.impl(name, reference, "CompositeExplicitAutograd")
    if cpu is not None:
        LIBRARY.impl(name, cpu, "CPU")
    if cuda is not None:
        LIBRARY.impl(name, _where_served(cuda, reference, cuda_dtypes), "CUDA")
    torch.library.register_fake(f"scenekit::{name}", fake, lib=LIBRARY)
    if autograd is not None:
        LIBRARY.impl(name, autograd.apply, "Autograd")
    return Op(name, reference, cpu, cuda, cuda_dtypes, autograd is not None)


def _where_served(
    body: Callable[..., Any], reference: Callable[..., Any], dtypes: tuple[torch.dtype, ...]
) -> Callable[..., Any]:
    """The kernels take tensors of ``dtypes``; all else goes to the reference."""

    def choose(*arguments: Any) -> Any:
        flat = (y for x in arguments for y in (x if isinstance(x, (list, tuple)) else (x,)))
        tensors = [x for x in flat if isinstance(x, Tensor)]
        return (body if launch.serves(*tensors, dtypes=dtypes) else reference)(*arguments)

    return choose


def below_autograd(name: str, *arguments: Any) -> Any:
    """Call an op from inside its own autograd formula."""
    with torch._C._AutoDispatchBelowAutograd():
        return getattr(torch.ops.scenekit, name)(*arguments)


def reference_gradients(
    reference: Callable[..., Any],
    inputs: Sequence[Any],
    wanted: Sequence[int],
    cotangents: Sequence[Tensor | None],
) -> list[Tensor]:
    """Differentiate a reference body inside a backward op's body, where dispatch has autograd switched off.

    ``wanted`` are the positions in ``inputs`` to differentiate; a None cotangent counts as zero. An input that
    the result does not depend on gets zeros.
    """
    leaves = [x.detach().requires_grad_() if i in wanted else x for i, x in enumerate(inputs)]
    with _autograd_switched_on(), torch.enable_grad():
        results = reference(*leaves)
        results = results if isinstance(results, (tuple, list)) else (results,)
        pairs = [(r, c) for r, c in zip(results, cotangents, strict=False) if c is not None and r.requires_grad]
        targets = [leaves[i] for i in wanted]
        if not pairs:
            return [torch.zeros_like(t) for t in targets]
        outputs, seeds = zip(*pairs, strict=True)
        gradients = torch.autograd.grad(outputs, targets, seeds, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(targets, gradients, strict=True)]


def _autograd_switched_on() -> Any:
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutogradCPU)
    for key in (
        torch._C.DispatchKey.AutogradCUDA,
        torch._C.DispatchKey.AutogradOther,
        torch._C.DispatchKey.ADInplaceOrView,
    ):
        keys = keys.add(key) if hasattr(keys, "add") else keys | torch._C.DispatchKeySet(key)
    excluded = torch._C._dispatch_tls_local_exclude_set() - keys
    return torch._C._ForceDispatchKeyGuard(torch._C._dispatch_tls_local_include_set(), excluded)
