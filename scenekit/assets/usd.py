"""OpenUSD: Gaussians as a ParticleField3DGaussianSplat (OpenUSD 26.3 and later), written by Pixar's own library.

It is read back to verify what was written, and not a format to import: the library's parsers are not made for files
of strangers. Axes: right, up, back, as USD has them where y is up. Nothing in the schema says antialiased.
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from scenekit.assets.atomic import replacing
from scenekit.assets.splats.packing import half_turned
from scenekit.core.checks import BadInput
from scenekit.representations.gaussian_cloud import GaussianCloud

SUFFIXES = (".usdc", ".usda", ".usdz")
HALF_TURN: Literal["x", "z"] = "x"
DEGREE = 3  # the schema sets no limit; 3D Gaussian Splatting, which it describes, does
# A package tells when its files were written; a scene has the same bits whenever it is written. ZIP begins with 1980.
PACKED_AT = 315_662_400
ROOT, SPLATS = "/scene", "/scene/splats"
# Of opacities and scales that are exactly 0 or 1, which float32 comes to.
LARGEST_LOGIT, SMALLEST_LOG_SCALE = 20.0, -40.0


def write_usd(target: Path, cloud: GaussianCloud, *, up: Literal["Y", "Z"]) -> GaussianCloud:
    """Write Gaussians as a stage with one field of particles, its ``up`` axis told; whole or not at all.

    Returns them with the harmonics that were kept. Raises BadInput where there are none, or without the library.
    """
    if len(cloud) == 0:
        raise BadInput.of(target, wanted="at least one Gaussian", found="none", remedy="keep more of the scene")
    _library("UsdVol")
    kept = cloud.of_degree(min(cloud.degree, DEGREE))
    with tempfile.TemporaryDirectory() as folder:
        # The library goes by extensions, and a package holds a file.
        plain = Path(folder) / f"scene{'.usdc' if target.suffix.lower() == '.usdz' else target.suffix.lower()}"
        _write_stage(plain, half_turned(kept, HALF_TURN), up)
        if target.suffix.lower() == ".usdz":
            packed = plain.with_suffix(".usdz")
            os.utime(plain, (PACKED_AT, PACKED_AT))
            _library("UsdUtils").CreateNewUsdzPackage(str(plain), str(packed))
            plain = packed
        with replacing(target) as temporary:
            shutil.copyfile(plain, temporary)
    return kept


def read_usd(source: Path) -> GaussianCloud:
    """The Gaussians of a file that :func:`write_usd` wrote."""
    stage = _library("Usd").Stage.Open(str(source))  # what it holds lives as long as it does
    particles = stage.GetPrimAtPath(SPLATS)

    def values(name: str) -> np.ndarray:
        return np.array(particles.GetAttribute(name).Get(), dtype=np.float32)

    means = torch.from_numpy(values("positions"))
    coefficients = torch.from_numpy(values("radiance:sphericalHarmonicsCoefficients"))
    # The library hands quaternions over as x, y, z, w.
    quaternions = torch.from_numpy(values("orientations"))[:, [3, 0, 1, 2]]
    opacities = torch.from_numpy(values("opacities"))
    cloud = GaussianCloud(
        means,
        torch.from_numpy(values("scales")).log().clamp(min=SMALLEST_LOG_SCALE),
        quaternions,
        opacities.logit().clamp(-LARGEST_LOGIT, LARGEST_LOGIT),
        coefficients.reshape(len(means), -1, 3),
    )
    return half_turned(cloud, HALF_TURN)


def _write_stage(file: Path, cloud: GaussianCloud, up: str) -> None:
    usd, geometry, volumes, arrays = (_library(name) for name in ("Usd", "UsdGeom", "UsdVol", "Vt"))
    stage = usd.Stage.CreateNew(str(file))
    geometry.SetStageUpAxis(stage, up)
    geometry.SetStageMetersPerUnit(stage, 1.0)
    stage.SetDefaultPrim(geometry.Xform.Define(stage, ROOT).GetPrim())
    particles = volumes.ParticleField3DGaussianSplat.Define(stage, SPLATS).GetPrim()
    unit = torch.nn.functional.normalize(cloud.quaternions, dim=-1)
    radius = 3 * cloud.log_scales.exp().amax(-1, keepdim=True)
    corners = torch.stack([(cloud.means - radius).amin(0), (cloud.means + radius).amax(0)])
    columns = {
        "positions": (arrays.Vec3fArray, cloud.means),
        "orientations": (arrays.QuatfArray, unit[:, [1, 2, 3, 0]]),
        "scales": (arrays.Vec3fArray, cloud.log_scales.exp()),
        "opacities": (arrays.FloatArray, cloud.opacity_logits.sigmoid()),
        "radiance:sphericalHarmonicsCoefficients": (arrays.Vec3fArray, cloud.harmonics.flatten(0, 1)),
        "extent": (arrays.Vec3fArray, corners),
    }
    for name, (kind, values) in columns.items():
        particles.GetAttribute(name).Set(kind.FromNumpy(values.contiguous().numpy()))
    particles.GetAttribute("radiance:sphericalHarmonicsDegree").Set(cloud.degree)
    stage.GetRootLayer().Save()


def _library(name: str) -> Any:
    """A module of the extra ``usd``; raises BadInput that says how to get it."""
    try:
        return importlib.import_module(f"pxr.{name}")
    except ImportError as error:
        raise BadInput.of(
            "OpenUSD", wanted=f"the library pxr.{name}", found="none", remedy="pip install 'scenekit[usd]'"
        ) from error
