"""Kernels of other libraries for our operators, over our parameters; only those that ``SCENEKIT_KERNELS`` names load.

An adapter is one file with ``BODIES``: bodies by the names of operators, with the arguments and results of these. A
body answers ``NotImplemented`` where its library has nothing for such arguments, and ours serves. Some read numbers
back from the GPU, so that steps that use them cannot be recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from typing import Any

import torch

from scenekit.core.checks import BadInput
from scenekit.kernels.choice import REFERENCE, VARIABLE, asked

Body = Callable[..., Any]


@dataclass(frozen=True)
class Library:
    """Another library.

    Attributes:
        module: that is imported.
        wanted: the version that the adapter was written for, or None where any will do.
        remedy: how to install it.
    """

    module: str
    wanted: str | None
    remedy: str


LIBRARIES = {
    "gsplat": Library("gsplat", "1.5.3", "pip install gsplat==1.5.3"),
    "nerfacc": Library("nerfacc", "0.5.3", "pip install nerfacc==0.5.3"),
    "tinycudann": Library(
        "tinycudann", None, "pip install git+https://github.com/NVlabs/tiny-cuda-nn#subdirectory=bindings/torch"
    ),
}


@dataclass(frozen=True)
class Adapted:
    """A body of another library's.

    Attributes:
        server: its name and version, for people.
        body: as the operator's.
    """

    server: str
    body: Body


@cache
def adapted() -> Mapping[str, Adapted]:
    """What serves operators in place of our kernels, by their names.

    Raises BadInput for a name that is none, and for a library that is not installed or cannot be loaded here.
    """
    found: dict[str, Adapted] = {}
    for name in reversed(asked()):  # what is named first wins
        if name != REFERENCE:
            found |= _load(name)
    return found


def _load(name: str) -> dict[str, Adapted]:
    if name not in LIBRARIES:
        wanted = f"{', '.join(LIBRARIES)} or {REFERENCE}, separated by commas"
        raise BadInput.of(VARIABLE, wanted=wanted, found=f"'{name}'", remedy="correct it, or unset it for our kernels")
    library = LIBRARIES[name]
    if not torch.cuda.is_available():
        raise BadInput.of(VARIABLE, wanted=f"an NVIDIA GPU for {name}", found="none that this torch can use",
                          remedy="unset it for our kernels")  # fmt: skip
    try:
        version = metadata.version(library.module)
        bodies: Mapping[str, Body] = import_module(f"{__name__}.{name}").BODIES
    except (ImportError, OSError, metadata.PackageNotFoundError) as error:
        found = "none" if isinstance(error, (ModuleNotFoundError, metadata.PackageNotFoundError)) else f"'{error}'"
        raise BadInput.of(VARIABLE, wanted=f"an installed {name}", found=found, remedy=library.remedy) from error
    if library.wanted is not None and version.split("+")[0] != library.wanted:
        raise BadInput.of(VARIABLE, wanted=f"{name} {library.wanted}", found=version, remedy=library.remedy)
    return {op: Adapted(f"{name} {version}", body) for op, body in bodies.items()}
