"""From a signal and configs to a training, and from a run folder back to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from scenekit.assets.run import RECIPE, continue_training, read_recipe
from scenekit.core.bounds import Bounds
from scenekit.core.checks import BadInput
from scenekit.core.point_fields import Encoder
from scenekit.core.protocols import Adaptive, Scheduled
from scenekit.data.signals import Facts, Signal, open_signal
from scenekit.recipes.configs import budget_of, from_plain, section, to_plain
from scenekit.recipes.device import AUTO, device_of, resident_signal
from scenekit.recipes.kernels import begin_compiling
from scenekit.recipes.signals import KINDS, SignalRenderer, controllers_of, default_representation, scene_from_file
from scenekit.renderers.scene import Scene
from scenekit.representations import REPRESENTATIONS
from scenekit.representations.signal import SignalField
from scenekit.representations.sphere import Sphere
from scenekit.training.points import PointSamples
from scenekit.training.steps import Step, Training
from scenekit.training.steps import steps as training_steps

DEFAULT_MINUTES = 1.0
ADAPTATION_POINTS = 2**18
# Representations whose encoding serves any signal, by name; a sphere serves panoramas alone.
ENCODERS: dict[str, Any] = {
    **{name: kind for name, kind in REPRESENTATIONS.items() if isinstance(kind(), Encoder)},
    "sphere": Sphere,
}
HIDDEN = {"sphere": 0, "rbf": 0}  # hidden layers of the network, where an encoding brings layers of its own
BATCH, BATCHES = 2**16, {"sphere": 2**12}  # points a step: few parameters need few


@dataclass(frozen=True)
class ValueNetwork:
    """The network between features and values.

    Attributes:
        width: of its hidden layers.
        hidden: how many; what suits the representation where not given.
        learning_rate: at the start; what suits the signal where not given.
    """

    width: int = 64
    hidden: int | None = None
    learning_rate: float | None = None


@dataclass(frozen=True)
class SignalFitting:
    """How a field of a signal is fitted.

    Attributes:
        steps: train for this many steps (resumes bit for bit on a CPU).
        minutes: train for this many minutes, from the first step; 1 if no other limit is given.
        target_psnr: stop at this PSNR on a fixed set of points, in dB.
        seed: of all randomness.
        batch_points: points a step; what suits the representation where not given.
        device: auto (a GPU where there is one), cpu, cuda or cuda:NUMBER.
        network: between features and values.
    """

    steps: int | None = None
    minutes: float | None = None
    target_psnr: float | None = None
    seed: int = 0
    batch_points: int | None = None
    device: str = AUTO
    network: ValueNetwork = field(default_factory=ValueNetwork)


@dataclass
class FitSession:
    """A training under way: what it changes, the scene it becomes, and the signal it learns."""

    training: Training
    scene: Scene
    signal: Signal

    def finish(self) -> None:
        """Nothing is left to be done."""


def prepare_fit(signal: Signal, representation: Any, fitting: SignalFitting | None = None) -> FitSession:
    """Build everything that fitting a field to ``signal`` needs.

    Args:
        signal: from :func:`scenekit.data.signals.open_signal`.
        representation: a config whose encoding serves any signal, such as ``HashGrid()``, or ``Sphere()``.
        fitting: limits, points a step and the network.
    """
    fitting = fitting or SignalFitting()
    facts = signal.facts
    kind = KINDS[facts.kind]
    count = BATCHES.get(_name_of(representation), BATCH) if fitting.batch_points is None else fitting.batch_points
    if count < 1 or fitting.network.width < 1 or (fitting.network.hidden or 0) < 0:
        found = f"{count}, {fitting.network.width}, {fitting.network.hidden}"
        raise BadInput(f"--batch-points, --network.width, --network.hidden: wanted positive numbers, found {found}; "
                       "correct them")  # fmt: skip
    if fitting.target_psnr is not None and not kind.has_psnr:
        raise BadInput.of("--target-psnr", wanted="a signal of colours", found=f"a {facts.kind}",
                          remedy="limit it with --steps or --minutes")  # fmt: skip
    budget = budget_of(fitting.steps, fitting.minutes, fitting.target_psnr, DEFAULT_MINUTES)
    device = device_of(fitting.device)
    generator = torch.Generator().manual_seed(fitting.seed)
    learnt = field_of(representation, facts, fitting, generator)
    renderer = kind.build(learnt, facts).to(device)
    begin_compiling(renderer, device)
    looked_at = resident_signal(signal, device)
    drawn = generator if device.type == "cpu" else torch.Generator(device).manual_seed(fitting.seed)
    own = None if looked_at.device == device else generator
    if isinstance(learnt.encoding, Adaptive):
        points, weights = looked_at.detail(ADAPTATION_POINTS, drawn if own is None else own)
        learnt.encoding.adapt(points.to(device), weights.to(device), drawn)
    frame = scene_from_file(facts)
    cameras = kind.cameras().moved(frame.inverse())
    recipe = _recipe(representation, facts, fitting)
    scene = Scene(renderer, kind.background.build(), frame, cameras, Bounds(), recipe).to(device)
    controllers = list(learnt.encoding.controllers()) if isinstance(learnt.encoding, Scheduled) else []
    objective = PointSamples(renderer, learnt, looked_at, kind.loss, count, own)
    training = Training(objective, budget, drawn, controllers=[*controllers, *controllers_of(renderer)])
    return FitSession(training, scene, signal)


def resume_fit(run: Path, limits: Mapping[str, Any] | None = None) -> FitSession:
    """The fitting of a run as its newest checkpoint left it; ``limits`` may move its end.

    Raises BadInput where the run or its signal cannot be read, or where there is no checkpoint.
    """
    recipe = read_recipe(run)
    where = str(run / RECIPE)
    representation, facts, fitting = _configs_of(recipe, where)
    options = to_plain(fitting) | dict(limits or {})
    signal = open_signal(facts.path, kind=facts.kind)
    session = prepare_fit(signal, representation, from_plain(SignalFitting, options, f"{where}: fit"))
    continue_training(run, session.training)
    return session


def fit(
    signal: Signal | str | Path,
    representation: Any = None,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    target_psnr: float | None = None,
    seed: int = 0,
    report: Callable[[Step], None] | None = None,
) -> Scene:
    """Fit a field to an image, a panorama, a mesh or a volume: ``scene = sk.fit("bunny.obj", steps=2000)``.

    Args:
        signal: a path, or what :func:`scenekit.open_signal` gave.
        representation: a config such as ``HashGrid()``; what suits the signal where None.
        steps, minutes, target_psnr: limits; one minute where none is given.
        seed: of all randomness.
        report: called after every step.
    """
    opened = open_signal(signal) if isinstance(signal, str | Path) else signal
    chosen = representation or default_representation(opened.facts)
    fitting = SignalFitting(steps=steps, minutes=minutes, target_psnr=target_psnr, seed=seed)
    session = prepare_fit(opened, chosen, fitting)
    for step in training_steps(session.training):
        if report is not None:
            report(step)
    return session.scene


def renderer_of(recipe: Mapping[str, Any], where: str) -> SignalRenderer:
    """The renderer that the recipe of a fitted signal describes, without its weights."""
    representation, facts, fitting = _configs_of(recipe, where)
    return KINDS[facts.kind].build(field_of(representation, facts, fitting, None), facts)


def facts_of(recipe: Mapping[str, Any], where: str) -> Facts:
    """What a run's signal is; raises BadInput for a kind that nobody knows."""
    facts = from_plain(Facts, section(recipe, "signal", where), f"{where}: signal")
    if facts.kind not in KINDS:
        raise BadInput.of(where, wanted=f"a signal among {', '.join(KINDS)}", found=facts.kind,
                          remedy="use the scenekit that wrote it")  # fmt: skip
    return facts


def signal_of(scene: Scene, path: str | None = None) -> Signal:
    """The signal that a scene was fitted to, or the same one at ``path``; raises BadInput where it differs."""
    facts = facts_of(scene.recipe, "recipe")
    signal = open_signal(path or facts.path, kind=facts.kind)
    found = signal.facts
    if (found.channels, found.size) != (facts.channels, facts.size):
        raise BadInput.of(path or facts.path, wanted=f"{facts.channels} channels of size {list(facts.size)}",
                          found=f"{found.channels} of {list(found.size)}",
                          remedy="give the file that was fitted")  # fmt: skip
    return signal


def judge(scene: Scene, signal: Signal) -> dict[str, Any]:
    """Figures of a fitted scene against its signal."""
    facts = signal.facts
    learnt, looked_at = point_field_of(scene), resident_signal(signal, scene.device)
    return KINDS[facts.kind].judge(learnt, looked_at) | {"kind": facts.kind, "signal": facts.path}


def point_field_of(scene: Scene) -> SignalField:
    """The field inside a fitted scene."""
    renderer: Any = scene.renderer
    return renderer.field if isinstance(renderer.field, SignalField) else renderer.field.values


def field_of(
    representation: Any, facts: Facts, fitting: SignalFitting, generator: torch.Generator | None
) -> SignalField:
    """A field before it has learnt anything; raises BadInput for a representation that such a signal has not."""
    name, kind, network = _name_of(representation), KINDS[facts.kind], fitting.network
    if name == "sphere" and facts.kind != "panorama":
        raise BadInput.of("--representation sphere", wanted="a panorama", found=f"a signal of kind {facts.kind}",
                          remedy="choose another representation")  # fmt: skip
    encoding = representation.encoding(facts.dimensions, facts.finest, generator)
    return SignalField(
        encoding,
        facts.channels,
        hidden=HIDDEN.get(name, 2) if network.hidden is None else network.hidden,
        width=network.width,
        learning_rate=kind.learning_rate if network.learning_rate is None else network.learning_rate,
        exact=kind.exact,
        generator=generator,
    )


def _configs_of(recipe: Mapping[str, Any], where: str) -> tuple[Any, Facts, SignalFitting]:
    table = section(recipe, "representation", where)
    name = table.get("name")
    if name not in ENCODERS:
        raise BadInput.of(where, wanted=f"a representation among {', '.join(ENCODERS)}", found=repr(name),
                          remedy="use the scenekit that wrote it")  # fmt: skip
    config = from_plain(ENCODERS[name], section(table, "config", where), f"{where}: representation")
    fitting = from_plain(SignalFitting, section(recipe, "fit", where), f"{where}: fit")
    return config, facts_of(recipe, where), fitting


def _recipe(representation: Any, facts: Facts, fitting: SignalFitting) -> dict[str, Any]:
    path = Path(facts.path)
    described = to_plain(facts) | {"path": str(path.resolve()) if path.is_file() else facts.path}
    return {
        "representation": {"name": _name_of(representation), "config": to_plain(representation)},
        "signal": described,
        "fit": to_plain(fitting),
        "scene": {
            "bounds": to_plain(Bounds()),
            "scene_from_world": scene_from_file(facts).to_json(),
            "background": to_plain(KINDS[facts.kind].background),
        },
    }


def _name_of(representation: Any) -> str:
    name = next((name for name, kind in ENCODERS.items() if kind is type(representation)), None)
    if name is None:
        raise BadInput.of("representation", wanted=f"one of {', '.join(ENCODERS)}",
                          found=type(representation).__name__, remedy="choose one for signals")  # fmt: skip
    return name
