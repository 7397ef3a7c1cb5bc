"""Where a command computes: what ``--device`` names, or the GPU if there is one that our kernels serve."""

from __future__ import annotations

import torch

from scenekit.core.checks import BadInput
from scenekit.data.signals import Signal
from scenekit.data.store import StoredImages, bytes_of
from scenekit.kernels.gpu import launch
from scenekit.training.batches import Batches, Views
from scenekit.training.hosted import Hosted

AUTO = "auto"
LEARNT_SHARE = 0.5  # of a GPU's free memory that photographs or a signal may take there; fields copy the former once


def device_of(name: str = AUTO) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:1``; raises BadInput where there is none."""
    if name == AUTO:
        return torch.device("cuda", torch.cuda.current_device()) if launch.available() else torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()) or (kind == "cpu" and number):
        raise BadInput.of("--device", wanted="auto, cpu, cuda or cuda:NUMBER", found=name, remedy="choose one")
    if kind == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(number or 0)
    if index >= count:
        found = f"{count} GPUs that this torch ({torch.__version__}) can use" if count else _none()
        raise BadInput.of("--device", wanted=name, found=found, remedy="choose another, or --device cpu")
    return torch.device("cuda", index)


def device_name(device: torch.device) -> str:
    """What a figure's scope calls it: cpu, or the GPU's own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def resident(views: Views, device: torch.device) -> Views:
    """Views on the device, if their photographs fit there beside what is trained; else as they are."""
    if device.type == "cpu":
        return views
    free, _ = torch.cuda.mem_get_info(device)
    fits = not isinstance(views.images, StoredImages) and 2 * bytes_of(views.images) <= LEARNT_SHARE * free
    return views.to(device) if fits else views


def resident_signal(signal: Signal, device: torch.device) -> Signal:
    """A signal on the device, if it fits there beside what is trained; else as it is."""
    if device.type == "cuda" and signal.nbytes > LEARNT_SHARE * torch.cuda.mem_get_info(device)[0]:
        return signal
    return signal.to(device)


def fed(batches: Batches, device: torch.device) -> Batches:
    """Batches for a renderer on ``device``, wherever the photographs are."""
    return batches if batches.device == device else Hosted(batches, device)


def _none() -> str:
    built = torch.version.cuda
    return "a torch that was built without CUDA" if built is None else "no NVIDIA GPU with a driver"
