"""``scenekit train CAPTURE``: photographs with poses become a run."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
import tyro

from scenekit.assets.lock import holding
from scenekit.assets.run import checkpoints, require_new, step_of, write_recipe, write_scene
from scenekit.assets.saving import Saving
from scenekit.cli.options import merged, one_of, parse, preset_arguments, presets, say, take, without
from scenekit.cli.process import with_poses
from scenekit.cli.processes import joined, launch, launched
from scenekit.cli.progress import run_steps
from scenekit.core.checks import BadInput, TrainingDiverged
from scenekit.core.context import Share
from scenekit.data import Capture, open_capture
from scenekit.data.memory import memory_in_reach, most_held
from scenekit.data.store import StoredImages, bytes_of
from scenekit.data.triangulate import Triangulation
from scenekit.recipes import Conversion, FitSession, Fitting, Session, Supervision, prepare, resume
from scenekit.recipes.device import AUTO, device_name
from scenekit.recipes.families import FAMILIES
from scenekit.recipes.memory import GIB, Plan, plans_of
from scenekit.renderers.scene import Scene
from scenekit.representations import REPRESENTATIONS
from scenekit.training.divided import Word
from scenekit.training.ranks import first_alone
from scenekit.training.steps import Training
from scenekit.training.steps import steps as training_steps

if TYPE_CHECKING:
    from scenekit.live import LiveView

DEFAULT_REPRESENTATION = "gaussians"


@dataclass(frozen=True)
class General:
    """What to train on and where to put it.

    Attributes:
        capture: folder of photographs with poses (transforms.json, COLMAP, LLFF), or synthetic; photographs alone
            or a video are processed first.
        output: run folder; runs/CAPTURE-REPRESENTATION where not given.
        downscale: shrink the photographs by this factor, with an area filter.
        keep_lens: cast rays through the photographs' own lenses instead of undistorting them first.
        cache: GiB of decoded photographs to keep in memory; a third of what is free where not given.
        memory: GiB of main memory that the run may take; what is free where not given.
        resume: continue the run at --output from its newest checkpoint.
        processes: share the work of every step among so many, one for each GPU where there are any; a step then
            looks at as many times the pixels or photographs, so that half of --steps do for two. torchrun does the
            same across machines.
        live: show the scene in the browser while it trains.
        json: print one JSON object with the figures of the training, and no bar.
    """

    capture: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CAPTURE")] = ""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    downscale: float = 1.0
    keep_lens: bool = False
    cache: float | None = None
    memory: float | None = None
    resume: bool = False
    processes: int = 1
    live: bool = False
    json: bool = False


def run(arguments: list[str]) -> None:
    """Train, or continue with ``--resume``."""
    name, rest = take(arguments, ("-r", "--representation"), DEFAULT_REPRESENTATION)
    preset, rest = take(rest, ("--preset",), None)
    if name not in REPRESENTATIONS:
        raise one_of("--representation", REPRESENTATIONS, str(name))
    kind = options_type(name)
    description = (
        f"Train {name}; -r chooses among {', '.join(REPRESENTATIONS)}; "
        f"--preset NAME fills in flags ({', '.join(presets())})."
    )
    usual = without(General, "keep_lens", "cache", "memory", "processes")
    brief = merged("Train", ("general", usual, False), ("fitting", Fitting, False))
    options = parse(kind, "train", [*preset_arguments(preset, name), *rest], description, brief=brief)
    if options.general.processes != 1 and not launched():
        raise SystemExit(launch([*arguments, *_named(options.general, name)], options.general.processes))
    with joined() as share:
        _train(options, name, share)


def _named(general: General, name: str) -> list[str]:
    """The output, for all processes to agree on."""
    return [] if general.output else ["-o", str(_default_folder(general, name))]


def _train(options: Any, name: str, share: Share) -> None:
    general: General = options.general
    started = time.perf_counter()
    with ExitStack() as held:
        with first_alone(share):
            folder = _folder(general, name, share)
            if share.rank == 0:
                held.enter_context(holding(folder))
            begin = _resumed if general.resume else _begun
            session, plans = begin(options, folder, share)
        _train_on(general, name, session, plans, folder, started)


def _train_on(general: General, name: str, session: Session, plans: list[Plan], folder: Path, started: float) -> None:
    """Train, show and report; processes but the first only train."""
    share = session.training.share
    prepared = time.perf_counter() - started
    if share.rank > 0:
        _follow(session.training)
        return
    with live_view(session.scene, capture=session.capture) if general.live else nullcontext() as live:
        figures = train_session(session, folder, quiet=general.json, live=live)
        figures |= {"run": str(folder), "representation": name, "seconds_of_preparation": round(prepared, 2)}
        figures |= {f"predicted_{plan.of.lower().replace(' ', '_')}_bytes": round(plan.total) for plan in plans}
        figures["processes"] = share.of
        figures["triangulation"] = _triangulation_figures(session)
        report(figures, as_json=general.json)
        if live is not None:
            say("training is done; the view goes on until Ctrl-C")
            live.wait()


def _follow(training: Training) -> None:
    """Train without a word: the first process tells of it and writes."""
    try:
        for _ in training_steps(training):
            pass
    except TrainingDiverged:
        training.not_finite_anywhere()  # which the first process asks about too, before it keeps the last good state
        training.agree(Word.PART)
        raise
    training.part()


def _planned(session: Session, general: General) -> list[Plan]:
    """The memory plans of this process, said by the first; refuses a run that will not fit, or cannot be watched."""
    share = session.training.share
    if general.live and session.training.division is not None:
        raise BadInput.of("--live", wanted="a process that holds the whole scene", found=f"one of {share.of} parts",
                          remedy="watch with --processes 1, or view the run when it is done")  # fmt: skip
    limit = memory_in_reach() if general.memory is None else general.memory * GIB
    plans = plans_of(session, limit / share.of)
    if share.rank > 0:
        return plans
    for note in session.capture.notes:
        say(note)
    if session.triangulation is not None:
        say(_cost(session.triangulation))
    images = session.capture.images
    if isinstance(images, StoredImages):
        say(
            f"{len(images)} photographs take {bytes_of(images) / GIB:.1f} GiB decoded: they are decoded when needed, "
            f"{images.cache_bytes / GIB:.1f} GiB of them kept"
        )
    for plan in plans:
        say(plan.sentence())
        plan.check()
    return plans


def options_type(name: str) -> type[Any]:
    """All options of ``train`` for a representation, as one dataclass."""
    kind = REPRESENTATIONS[name]
    family = FAMILIES[kind.renderer]
    return merged(
        "Train",
        ("general", General, False),
        ("fitting", Fitting, False),
        ("supervision", Supervision, False),
        ("representation", kind, False),
        ("family", family.fitting, False),
    )


def _folder(general: General, name: str, share: Share) -> Path:
    """Where the run goes, or is to be continued."""
    if general.resume:
        if general.output is None:
            raise BadInput("--resume: wanted the run to continue, found none; name it with -o RUN")
        return general.output
    if not general.capture:
        raise BadInput("scenekit train: wanted a capture, found none; give a folder of photographs with poses")
    if general.output is None and share.of > 1:
        raise BadInput(
            "scenekit train: wanted the run folder that all processes write, found none; name it with -o RUN"
        )
    return general.output or _default_folder(general, name)


def _begun(options: Any, folder: Path, share: Share) -> tuple[Session, list[Plan]]:
    general: General = options.general
    if share.rank == 0:
        require_new(folder)
    options.fitting.budget()  # refuses before photographs are read
    cache = _cache_bytes(general)
    source = with_poses(general.capture, quiet=general.json)
    capture = open_capture(source, downscale=general.downscale, keep_lens=general.keep_lens, cache_bytes=cache)
    session = prepare(
        capture, options.representation, options.fitting, options.family, options.supervision, cache=folder, share=share
    )
    plans = _planned(session, general)
    if share.rank == 0:
        write_recipe(folder, session.scene.recipe)
    return session, plans


def _default_folder(general: General, name: str) -> Path:
    return free_folder(f"{Path(general.capture).resolve().name}-{name}")


def _cache_bytes(general: General) -> int | None:
    if general.cache is None:
        return None
    most = memory_in_reach() / GIB if general.memory is None else general.memory
    if not 0 < general.cache <= most:
        raise BadInput.of("--cache", wanted=f"between 0 and {most:.1f} GiB", found=f"{general.cache:g}",
                          remedy="choose a share of the memory: what does not fit is decoded when needed")  # fmt: skip
    return int(general.cache * GIB)


def _cost(made: Triangulation) -> str:
    adjusted = f"; poses were adjusted with them, by {made.turned:.2f} degrees in the mean" if made.turned else ""
    return (
        f"triangulated {len(made.points)} points from {made.images} training photographs in {made.wall_seconds:.1f} s "
        f"({made.cpu_seconds:.1f} s of CPU time){adjusted}"
    )


def _resumed(options: Any, folder: Path, share: Share) -> tuple[Session, list[Plan]]:
    fitting: Fitting = options.fitting
    limits = {"steps": fitting.steps, "minutes": fitting.minutes, "target_psnr": fitting.target_psnr}
    given: dict[str, Any] = {name: limit for name, limit in limits.items() if limit is not None}
    if fitting.device != AUTO:
        given["device"] = fitting.device
    session = resume(folder, given, share)
    return session, _planned(session, options.general)


def train_session(
    session: Session | FitSession | Conversion,
    folder: Path,
    *,
    quiet: bool = False,
    live: LiveView | None = None,
    command: str = "train",
) -> dict[str, Any]:
    """Train to the end, saving on the way; returns figures with their scope. ``command`` continues it."""
    training = session.training
    cpu = time.process_time()
    first = training.index
    _say_where(folder, first)
    step = None
    saving = Saving(folder)

    def save() -> None:
        saving.save(training.index, training.state_dict())
        saving.wait()

    try:
        with closing(run_steps(training, saving, quiet=quiet)) as progress:
            for step in progress if live is None else live.follow(progress, save):
                if live is not None:
                    live.update(f"{_made_of(session)}: step {step.index}, {step.psnr:.2f} dB")
                    live.score(step.index, step.psnr)
    except TrainingDiverged:
        if training.not_finite_anywhere() is None:
            saving.last(training.index, training.state_dict())
        training.agree(Word.PART)
        raise
    except KeyboardInterrupt:
        saving.last(training.index, training.state_dict())
        say(f"interrupted at step {training.index}; continue with: scenekit {command} --resume -o {folder}")
        raise
    saving.last(training.index, training.state_dict())
    session.finish()
    write_scene(folder, session.scene)
    return {
        "steps": training.index,
        "steps_this_time": training.index - first,
        "seconds": round(training.seconds, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "checkpoints": {
            "count": saving.count,
            "stalled_seconds": round(saving.stalled, 4),
            "stalled_and_cpu_seconds": round(saving.spent, 4),
        },
        "last_step": None if step is None else {"psnr": round(step.psnr, 2), step.unit: step.work},
        **_peaks(training.generator.device),
        "device": device_name(training.generator.device),
    }


def _peaks(device: torch.device) -> dict[str, int]:
    """The most memory that this process has taken; of a GPU's, what torch held, and not what the driver takes."""
    found = {"peak_memory_bytes": most_held()}
    return found if device.type == "cpu" else found | {"peak_gpu_memory_bytes": torch.cuda.max_memory_reserved(device)}


def _say_where(folder: Path, index: int) -> None:
    """Which checkpoint a training goes on from, where it is not the newest."""
    newest = checkpoints(folder)[-1:]
    if newest and step_of(newest[0]) > index:
        say(f"{newest[0]} is damaged; continuing from step {index} instead")


def _triangulation_figures(session: Session) -> dict[str, Any] | None:
    made = session.triangulation
    if made is None:
        return None
    return {
        "points": len(made.points),
        "images": made.images,
        "pairs": made.pairs,
        "turned_degrees": round(made.turned, 3),
        "seconds": round(made.wall_seconds, 2),
        "cpu_seconds": round(made.cpu_seconds, 2),
    }


def live_view(*scenes: Scene, capture: Capture | None = None) -> LiveView:
    """Scenes in the browser while the first of them learns, perhaps from photographs of a capture."""
    from scenekit.live import LiveView, Photographs

    found = None if capture is None else partial(Photographs, capture.cameras, capture.images, capture.names)
    live = LiveView(scenes, photographs=found)
    for line in live.directions:
        say(line)
    return live


def _made_of(session: Session | FitSession | Conversion) -> str:
    return str(session.scene.recipe.get("representation", {}).get("name", "scene"))


def free_folder(name: str) -> Path:
    """``runs/NAME``, or with a number where that is taken."""
    wanted = Path("runs") / name
    number = 2
    folder = wanted
    while folder.exists():
        folder = wanted.with_name(f"{wanted.name}-{number}")
        number += 1
    return folder


def report(figures: dict[str, Any], *, as_json: bool) -> None:
    """Say what a training did: one JSON object, or a line and what to do next."""
    if as_json:
        print(json.dumps(figures))
        return
    folder = figures["run"]
    if figures["steps_this_time"] == 0:
        say("nothing was left to do: the run has reached its --steps or --minutes; give more of both to go on")
    say(f"{figures['steps']} steps in {figures['seconds']} s of training ({figures['device']}); saved {folder}")
    say(f"next: scenekit evaluate {folder}   scenekit view {folder}")
