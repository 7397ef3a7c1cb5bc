"""What ``scenekit doctor`` says of a GPU; there need not be one."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scenekit.cli import doctor
from scenekit.kernels import OPS
from scenekit.kernels.gpu import launch


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")


@pytest.mark.usefixtures("gpu")
def test_every_operator_with_kernels_is_named_with_its_types(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(launch, "available", lambda: True)
    monkeypatch.setattr(doctor, "compiler_missing", list)
    found = doctor.examine()["gpu_operators"]
    assert found["hash_grid"] == "CUDA, float32, float16, bfloat16"
    assert {name for name, server in found.items() if server == "torch reference"} == {
        name for name, op in OPS.items() if op.cuda is None
    }
    doctor.run([])
    said = capsys.readouterr().out
    assert "GPU: a GPU, sm_90" in said
    assert "networks on the GPU: exact float32; in training half precision" in said


@pytest.mark.usefixtures("gpu")
def test_packages_that_a_gpu_needs_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launch, "available", lambda: False)
    monkeypatch.setattr(launch, "missing", lambda: ["cuda-core"])
    monkeypatch.setattr(doctor, "compiler_missing", lambda: ["nvidia-cuda-nvrtc"])
    facts = doctor.examine()
    assert set(facts["gpu_operators"].values()) == {"torch reference"}
    assert facts["advice"][-2:] == ["pip install cuda-core", "pip install nvidia-cuda-nvrtc"]


def test_what_is_not_installed_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in ("open3d", "xatlas") else name)
    facts = doctor.examine()["optional"]
    assert facts["meshes"] == "needs open3d, xatlas: pip install 'scenekit[mesh]'"
    assert facts["OpenUSD"] == ""
    doctor.run([])
    said = capsys.readouterr().out
    assert "needs open3d, xatlas" in said
    assert "OpenUSD                          there" in said


@pytest.mark.parametrize("compiled", [True, False])
def test_only_what_a_compiler_would_mend_is_called_a_reference(
    *, compiled: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor.native, "library", lambda: SimpleNamespace(_name="c.so") if compiled else None)
    monkeypatch.setattr(doctor, "ours_serve", lambda: True)
    facts = doctor.examine()
    slow = {name for name, server in facts["operators"].items() if server == "torch reference"}
    assert slow == (set() if compiled else {name for name, op in OPS.items() if op.cpu is not None})
    monkeypatch.setattr(doctor, "examine", lambda: facts)
    doctor.run([])
    assert ("faster: install a C++ compiler" in capsys.readouterr().out) == (not compiled)


@pytest.mark.parametrize(("built", "why"), [(False, "is built without CUDA"), (True, "finds no NVIDIA GPU")])
def test_why_there_is_no_gpu_is_said(*, built: bool, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    assert why in doctor.examine()["gpu"]


def test_extras_are_those_of_the_package() -> None:
    named = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = named["optional-dependencies"]
    assert {extra for extra, *_ in doctor.OPTIONAL.values()} <= extras.keys()
