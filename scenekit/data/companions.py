"""What may lie beside photographs: masks, measured depth and normals, brought to the same pinholes and sizes.

A capture names the files itself, or they lie in ``masks/``, ``depths/`` and ``normals/`` under the photographs' own
names: ``masks/IMG_1.png`` or ``masks/IMG_1.jpg.png`` for ``images/IMG_1.jpg``. White of a mask is believed and black
is not. Depth is along z, 0 where nothing was measured: 16-bit PNG in millimetres, ``.npy``
or ``.exr``, with fewer pixels than the photograph where its sensor has fewer. Normals are ``.npy``
or PNG with ``rgb = (normal + 1) / 2 * 255`` in the camera's OpenCV axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from scenekit.core.checks import BadInput
from scenekit.data.decode import opened, read_exr
from scenekit.data.images import source_map, stays
from scenekit.data.lens import Lens
from scenekit.data.listing import Photograph
from scenekit.data.numpyfile import DAMAGED_ARRAY, of_any_age

Size = tuple[int, int]
SAME_PROPORTIONS = 0.02  # sensors of depth see what the camera sees, in fewer pixels


def load_masks(
    root: Path, photographs: Sequence[Photograph], sizes: Sequence[Size], *, keep_lens: bool = False
) -> tuple[Bool[Tensor, "_H _W"], ...] | None:
    """Masks at the photographs' final sizes; a photograph without one is believed whole. None where none has one."""
    files = [photograph.mask or _beside(root, "masks", photograph, (".png", ".jpg")) for photograph in photographs]
    return _loaded(
        files, photographs, sizes, _read_mask, lambda size: torch.ones(size[1], size[0], dtype=torch.bool), keep_lens
    )


def load_depths(
    root: Path, photographs: Sequence[Photograph], sizes: Sequence[Size], *, keep_lens: bool = False
) -> tuple[Float[Tensor, "_H _W"], ...] | None:
    """Measured depth along z in ``world`` units, 0 where nothing was measured; None where no photograph has any."""
    files = [
        photograph.depth or _beside(root, "depths", photograph, (".png", ".npy", ".exr")) for photograph in photographs
    ]
    return _loaded(
        files,
        photographs,
        sizes,
        _read_depth,
        lambda size: torch.zeros(size[1], size[0]),
        keep_lens,
        any_size=True,
    )


def load_normals(
    root: Path, photographs: Sequence[Photograph], sizes: Sequence[Size], *, keep_lens: bool = False
) -> tuple[Float[Tensor, "_H _W 3"], ...] | None:
    """Measured unit normals in ``world``, 0 where nothing was measured; None where no photograph has any."""
    files = [_beside(root, "normals", photograph, (".png", ".npy")) for photograph in photographs]
    return _loaded(files, photographs, sizes, _read_normals, lambda size: torch.zeros(size[1], size[0], 3), keep_lens)


def _beside(root: Path, folder: str, photograph: Photograph, endings: tuple[str, ...]) -> Path | None:
    """The companion under the photograph's name, with its extension or without."""
    if not (root / folder).is_dir():
        return None
    name = Path(photograph.name)
    below = [name, Path(*name.parts[1:])] if len(name.parts) > 1 else [name]
    stems = [form for path in below for form in (path, path.with_suffix(""))]
    candidates = [root / folder / f"{stem}{ending}" for stem in stems for ending in endings]
    return next((path for path in candidates if path.is_file()), None)


def _loaded(
    files: Sequence[Path | None],
    photographs: Sequence[Photograph],
    sizes: Sequence[Size],
    read: Callable[[Path, Photograph], Tensor],
    absent: Callable[[Size], Tensor],
    keep_lens: bool,
    *,
    any_size: bool = False,
) -> tuple[Tensor, ...] | None:
    if all(file is None for file in files):
        return None
    fitted = []
    for file, photograph, size in zip(files, photographs, sizes, strict=True):
        if file is None:
            fitted.append(absent(size))
            continue
        values = read(file, photograph)
        _check_size(values, file, photograph.lens, any_size=any_size)
        fitted.append(_resampled(values, photograph.lens, size, straight=stays(photograph.lens, keep_lens)))
    return tuple(fitted)


def _check_size(values: Tensor, file: Path, lens: Lens, *, any_size: bool) -> None:
    height, width = values.shape[:2]
    if not any_size and (width, height) != lens.size:
        raise BadInput.of(
            file,
            wanted="{}x{} like its photograph".format(*lens.size),
            found=f"{width}x{height}",
            remedy="make it at the photograph's size",
        )
    if abs(width / height / (lens.size[0] / lens.size[1]) - 1) > SAME_PROPORTIONS:
        raise BadInput.of(
            file,
            wanted="the proportions {}x{} of its photograph".format(*lens.size),
            found=f"{width}x{height}",
            remedy="crop neither of the two",
        )


def _resampled(values: Tensor, lens: Lens, size: Size, *, straight: bool) -> Tensor:
    """Through the same lens and to the same size; the nearest value, since a mean over an edge was never measured."""
    height, width = values.shape[:2]
    across = (torch.arange(size[0]) + 0.5) * (lens.size[0] / size[0])
    down = (torch.arange(size[1]) + 0.5) * (lens.size[1] / size[1])
    if straight:
        v, u = torch.meshgrid(down, across, indexing="ij")
    else:
        u, v = source_map(lens)[down.long()][:, across.long()].unbind(-1)
    columns = (u * (width / lens.size[0])).floor().long().clamp(0, width - 1)
    rows = (v * (height / lens.size[1])).floor().long().clamp(0, height - 1)
    return values[rows, columns].contiguous()


def _all_believed(size: Size) -> Bool[Tensor, "H W"]:
    return torch.ones(size[1], size[0], dtype=torch.bool)


def _read_mask(file: Path, photograph: Photograph) -> Bool[Tensor, "H W"]:
    with opened(file) as image:
        grey = image.getchannel("A") if image.mode in ("LA", "RGBA") else image.convert("L")
        return torch.from_numpy(np.array(grey)) > 127


def _read_depth(file: Path, photograph: Photograph) -> Float[Tensor, "H W"]:
    if file.suffix.lower() == ".exr":
        values = _linear(file)
    else:
        values = _array(file, 2) if file.suffix == ".npy" else _pixels(file).astype(np.float32)
    if values.ndim != 2:
        raise BadInput.of(
            file, wanted="one channel of depth", found=f"shape {list(values.shape)}", remedy="write 16-bit grey"
        )
    depth = torch.from_numpy(values) * photograph.depth_unit
    return torch.where(depth.isfinite() & (depth > 0), depth, torch.zeros(()))


def _read_normals(file: Path, photograph: Photograph) -> Float[Tensor, "H W 3"]:
    values = _array(file, 3) if file.suffix == ".npy" else _pixels(file).astype(np.float32) / 127.5 - 1
    if values.ndim != 3 or values.shape[2] < 3:
        raise BadInput.of(
            file, wanted="three channels of normals", found=f"shape {list(values.shape)}", remedy="write RGB or [H W 3]"
        )
    local = torch.from_numpy(np.ascontiguousarray(values[..., :3]))
    length = local.norm(dim=-1, keepdim=True)
    known = (length > 0.5) & length.isfinite()
    turned = (local / length.clamp(min=1e-6)) @ photograph.world_from_camera[:, :3].float().T
    return torch.where(known, turned, torch.zeros(()))


def _linear(file: Path) -> NDArray[np.float32]:
    try:
        return read_exr(file)[..., 0]
    except OSError as error:
        raise BadInput.of(file, wanted="an EXR file", found=str(error), remedy="write it again") from None


def _array(file: Path, dimensions: int) -> NDArray[np.float32]:
    try:
        with of_any_age():
            values = np.load(file, allow_pickle=False)
        return np.ascontiguousarray(values.squeeze() if values.ndim > dimensions else values, dtype=np.float32)
    except DAMAGED_ARRAY as error:
        raise BadInput.of(file, wanted="an array of numbers", found=str(error), remedy="write it again") from error


def _pixels(file: Path) -> NDArray[np.generic]:
    with opened(file) as image:
        try:
            return np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise BadInput.of(file, wanted="a whole image", found=str(error), remedy="write it again") from error
