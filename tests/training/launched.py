"""What a step of training launches on a GPU, kernel by kernel, without one: tensors of a CPU take the bodies for GPUs.

Kernels of ours are named and not run, so that results are zeros; what torch would launch are the operators that reach
its backends, but for those that only make tensors or look at them in another way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from scenekit.kernels import OPS
from scenekit.kernels.gpu import launch

MAKING = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}
LOOKING = {"detach", "detach_", "lift_fresh", "alias", "view", "_unsafe_view", "_reshape_alias", "as_strided", "t",
           "expand", "select", "slice", "unbind", "split", "split_with_sizes", "transpose", "permute", "squeeze",
           "unsqueeze"}  # fmt: skip


class Launched(TorchDispatchMode):
    """Names of kernels in the order of their launches; torch's are those of operators."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        namespace, name = func.name().split("::")
        name = name.split(".")[0]
        if namespace == "scenekit":
            op = OPS[name]
            with self:
                return (op.cuda or op.reference)(*args)
        with self:  # within bodies, below autograd, operators that are made of others come here whole
            result = func.decompose(*args, **(kwargs or {}))
        if result is not NotImplemented:
            return result
        result = func(*args, **(kwargs or {}))
        if name in MAKING:
            result.zero_()
        elif name not in LOOKING:
            self.names.append(f"torch.{name}")
        return result

    def launch_on(self, _: int, __: Any, name: str, *___: Any) -> None:
        """In the place of :func:`scenekit.kernels.gpu.launch.launch_on`."""
        self.names.append(name)


@contextmanager
def launched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Launched]:
    """While this lasts, what is asked of a CPU's tensors is listed as if they were on a GPU."""
    kept = Launched()
    with monkeypatch.context() as patches, kept:
        patches.setattr(launch, "launch_on", kept.launch_on)
        patches.setattr(launch, "available", lambda: True)
        patches.setattr(launch, "properties", lambda _: Properties())
        yield kept


class Properties:
    """Of an H100."""

    shared_memory_per_multiprocessor = 228 * 1024
    multi_processor_count = 132
