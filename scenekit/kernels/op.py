"""How an operator is registered: one schema, bodies under dispatch keys, one autograd formula.

``torch.library.custom_op`` would cost twice the call overhead and load ``torch._dynamo`` at first use, and an
``autograd.Function`` around an op fails ``opcheck``; so the formula is registered under the key ``Autograd``
and calls the op again below it. Dispatch does the rest: a float32 CPU tensor reaches the C loops, anything
else the plain-torch reference, with the same parameters and the same maths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from scenekit.kernels.adapters import adapted
from scenekit.kernels.gpu import launch

LIBRARY = torch.library.Library("scenekit", "DEF")
_DTYPES = [x for x in vars(torch).values() if isinstance(x, torch.dtype)]


@dataclass(frozen=True)
class Op:
    """One operator.

    Attributes:
        name: as in ``torch.ops.scenekit.<name>``.
        overload: ``torch.ops.scenekit.<name>.default``.
        reference: the plain-torch body; any device, any floating dtype.
        cpu: the body over the C library, which falls back to the reference where that cannot serve.
        cuda: the body over kernels compiled at run time; called where they serve, else the reference is.
        cuda_dtypes: floating types that the kernels take.
        differentiable: whether it has a gradient formula.
    """

    name: str
    overload: Callable[..., Any]
    reference: Callable[..., Any]
    cpu: Callable[..., Any] | None
    cuda: Callable[..., Any] | None
    cuda_dtypes: tuple[torch.dtype, ...]
    differentiable: bool

    def __call__(self, *arguments: Any) -> Any:
        """Run the op on checked arguments."""
        return self.overload(*arguments)


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
        LIBRARY.impl(name, _where_served(name, cuda, reference, cuda_dtypes), "CUDA")
    torch.library.register_fake(f"scenekit::{name}", fake, lib=LIBRARY)
    if autograd is not None:
        LIBRARY.impl(name, _where_wanted(name, autograd), "Autograd")
    return Op(name, _overload(name), reference, cpu, cuda, cuda_dtypes, autograd is not None)


def _where_served(
    name: str, body: Callable[..., Any], reference: Callable[..., Any], dtypes: tuple[torch.dtype, ...]
) -> Callable[..., Any]:
    """Kernels take tensors of one GPU, floating ones of ``dtypes``; all else goes to the reference.

    Those of another library come first where it was asked for and takes such arguments; ours keep a fixed order of sums
    where torch asks for one.
    """
    plain, lists = _positions(name)
    accepted = frozenset((*dtypes, *(d for d in _DTYPES if not d.is_floating_point)))

    def choose(*arguments: Any) -> Any:
        tensors = [x for i in plain if (x := arguments[i]) is not None]
        for i in lists:
            tensors += arguments[i]
        index = tensors[0].get_device()
        for x in tensors:
            if x.get_device() != index or x.dtype not in accepted:
                return reference(*arguments)
        theirs = adapted().get(name)
        if theirs is not None and not torch.are_deterministic_algorithms_enabled():
            found = theirs.body(*arguments)
            if found is not NotImplemented:
                return found
        return (body if launch.available() else reference)(*arguments)

    return choose


def _where_wanted(name: str, formula: type[torch.autograd.Function]) -> Callable[..., Any]:
    """The formula where a gradient is wanted, the op below it where none is.

    ``Function.apply`` looks for tensors of functorch's at every call, which costs more than the rest of a launch: it is
    called where there may be some.
    """
    apply: Callable[..., Any] = getattr(super(torch.autograd.Function, formula), "apply")  # noqa: B009 - not in its stub
    plain, _ = _positions(name)

    def choose(*arguments: Any) -> Any:
        if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
            return formula.apply(*arguments)
        if torch.is_grad_enabled():
            for i in plain:
                if arguments[i] is not None and arguments[i].requires_grad:
                    return apply(*arguments)
        return below_autograd(name, *arguments)

    return choose


def _positions(name: str) -> tuple[list[int], list[int]]:
    """Where the arguments of an op are tensors or None, and where lists of tensors."""
    kinds = [str(x.type) for x in _overload(name)._schema.arguments]
    plain = [i for i, kind in enumerate(kinds) if kind in ("Tensor", "Optional[Tensor]")]
    return plain, [i for i, kind in enumerate(kinds) if kind == "List[Tensor]"]


@cache
def _overload(name: str) -> Any:
    return getattr(torch.ops.scenekit, name).default


def below_autograd(name: str, *arguments: Any) -> Any:
    """Call an op from inside its own autograd formula."""
    with torch._C._AutoDispatchBelowAutograd():
        return _overload(name)._op(*arguments)


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """As torch's, of a formula whose gradient has none itself; it costs nothing where none is asked for."""
    guarded = torch.autograd.function.once_differentiable(backward)

    @wraps(backward)
    def choose(*arguments: Any) -> Any:
        return (guarded if torch.is_grad_enabled() else backward)(*arguments)

    return choose


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
