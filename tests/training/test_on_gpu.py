"""Whole trainings on a pretended GPU: what acts between steps is there too, and steps that come again are recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from scenekit.core.lenses import Lens
from scenekit.data.synthetic import make
from scenekit.recipes import Fitting, Supervision, prepare
from scenekit.representations import REPRESENTATIONS, Gaussians
from scenekit.training.steps import steps
from tests.conformance.small import small_configs
from tests.pretend_gpu import Recorded

LEARNT = Supervision(refine_poses=True, refine_intrinsics=True, appearance="exposure")
# By name: representation, changes of its config, supervision, steps: splats are densified after a hundred.
CASES: dict[str, tuple[str, dict[str, Any], Supervision, int]] = {
    **{name: (name, {}, Supervision(), 10) for name in REPRESENTATIONS},
    "densified": ("gaussians", {"max_count": 600}, Supervision(), 110),
    "relocated": ("gaussians", {"densification": "mcmc", "regularization": 0.01}, Supervision(), 110),
    "sorted": ("gaussians", {"max_count": 600, "compact": True}, Supervision(), 110),
    "selective": ("gaussians", {"selective": True}, Supervision(), 10),
    "moved functions": ("rbf", {"kind": "adaptive", "centers": 256}, Supervision(), 10),
    "corrected pixels": ("hash_grid", {}, LEARNT, 10),
    "corrected pictures": ("gaussians", {}, LEARNT, 12),
}


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_trainings_mix_no_devices_and_record_their_steps(case: str, pretended_gpu: torch.device) -> None:
    name, changes, supervision, count = CASES[case]
    config, fitting = small_configs(name, {"volume": {"batch_samples": 1024}})
    config = replace(config, **changes)
    session = prepare(make(9, (32, 32), points=300), config, Fitting(steps=count), fitting, supervision)
    found = list(steps(session.training))
    session.finish()
    assert len(found) == count
    assert session.scene.device == pretended_gpu
    assert session.scene.cameras.centres.device.type == "cpu"
    passes = session.training.passes
    assert isinstance(passes, Recorded)
    assert passes.again > count / 2 - 2 * (not isinstance(config, Gaussians))


@pytest.mark.long
@pytest.mark.parametrize("name", ["gaussians", "hash_grid"])
def test_lenses_mix_no_devices(name: str, pretended_gpu: torch.device) -> None:
    config, fitting = small_configs(name, {"volume": {"batch_samples": 1024}})
    capture = make(9, (32, 32), lens=Lens.of("equidistant", k1=0.05, k2=-0.01), points=300)
    session = prepare(capture, config, Fitting(steps=6), fitting)
    assert len(list(steps(session.training))) == 6
    session.finish()
    assert session.scene.device == pretended_gpu
    picture = session.scene.render(capture.cameras[capture.test[0]])
    assert picture.color.device == pretended_gpu
