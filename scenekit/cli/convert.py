"""``scenekit convert RUN --to REPRESENTATION``: a scene becomes another by distillation, and says what was lost."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich.console import Console
from rich.table import Table

from scenekit.assets.lock import holding
from scenekit.assets.report import HTML, summary, write_report
from scenekit.assets.run import RECIPE, read_recipe, require_new, write_recipe
from scenekit.cli.options import helps, merged, one_of, parse, preset_arguments, say, take
from scenekit.cli.train import free_folder, live_view, train_session
from scenekit.core.checks import BadInput
from scenekit.data import Capture, open_recorded
from scenekit.data.memory import memory_in_reach
from scenekit.distill.plan import Distilling
from scenekit.distill.report import Measured, Photographed, measure
from scenekit.recipes import Conversion, Converting, load, prepare_conversion, resume_conversion
from scenekit.recipes.configs import section
from scenekit.recipes.device import AUTO, device_name
from scenekit.recipes.families import FAMILIES
from scenekit.recipes.load import configs_of, in_common, recorded_conversion
from scenekit.recipes.memory import conversion_plan
from scenekit.representations import REPRESENTATIONS

LIMITS = ("steps", "minutes", "target_psnr")
GENERAL_KEYS = ("steps", "minutes", "target-psnr", "seed", "device")  # of a preset; the rest of it is about captures


@dataclass(frozen=True)
class General:
    """What to convert and where to put it.

    Attributes:
        run: folder that train or convert wrote.
        output: folder of the new run; RUN-REPRESENTATION where not given.
        capture: where the photographs are now, if they have moved.
        resume: continue the conversion at --output from its newest checkpoint.
        live: show both scenes in the browser while it goes on.
        json: print the report as one JSON object, and no bar.
    """

    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    capture: str | None = None
    resume: bool = False
    live: bool = False
    json: bool = False


def run(arguments: list[str]) -> None:
    """Convert, or continue with ``--resume``."""
    name, rest = take(arguments, ("-t", "--to"), None)
    preset, rest = take(rest, ("--preset",), None)
    name = next(iter(REPRESENTATIONS)) if name is None and helps(rest) else _student(name, rest)
    flags = [*preset_arguments(preset, name, GENERAL_KEYS), *rest]
    description = f"Convert a run to {name}; --to chooses among {', '.join(REPRESENTATIONS)}."
    brief = merged("Convert", ("general", General, False), ("converting", Converting, False))
    options = parse(options_type(name), "convert", flags, description, brief=brief)
    general: General = options.general
    if not general.resume:
        if general.run is None:
            raise BadInput("scenekit convert: wanted a run, found none; give the folder that train wrote")
        teacher = read_recipe(general.run)
        options = parse(options_type(name, teacher, str(general.run / RECIPE)), "convert", flags)
    folder = _folder(general, name)
    with ExitStack() as held:
        held.enter_context(holding(folder))
        conversion, capture = _resumed(options, folder, name) if general.resume else _begun(options, folder)
        planned = _planned(conversion, capture)
        if not general.resume:
            write_recipe(folder, conversion.scene.recipe)
        live = None
        if general.live:
            live = held.enter_context(live_view(conversion.scene, conversion.teacher, capture=capture))
        figures = convert_session(conversion, folder, capture, planned, quiet=general.json, live=live)
        if general.json:
            print(json.dumps(figures))
        else:
            print_report(figures, folder)
        if live is not None:
            say("the conversion is done; the view goes on until Ctrl-C")
            live.wait()


def options_type(name: str, teacher: dict[str, Any] | None = None, where: str = RECIPE) -> type[Any]:
    """All options of ``convert`` for a student; what it has in common with its teacher's recipe starts as there.

    ``where`` names that recipe in messages.
    """
    kind = REPRESENTATIONS[name]
    family = FAMILIES[kind.renderer].fitting
    start = {} if teacher is None else in_common(name, teacher, where)
    return merged(
        "Convert",
        ("general", General, False),
        ("converting", Converting, False),
        ("distilling", Distilling, False),
        ("representation", start.get("representation", kind), False),
        ("family", start.get("family", family), False),
    )


def convert_session(
    conversion: Conversion,
    folder: Path,
    capture: Capture | None,
    planned: Mapping[str, int] | None = None,
    *,
    quiet: bool = False,
    live: Any = None,
) -> dict[str, Any]:
    """Convert to the end, measure, and write the report, with what was ``planned``; returns its figures."""
    trained = train_session(conversion, folder, quiet=quiet, live=live, command="convert")
    measured = measured_conversion(conversion, capture)
    measured.figures["training"] = trained | dict(planned or {})
    write_report(folder, measured.figures, measured.pictures)
    return measured.figures | {"run": str(folder)}


def measured_conversion(conversion: Conversion, capture: Capture | None) -> Measured:
    """The report's figures and pictures; photographs are judged where the capture is given."""
    photographs = None
    if capture is not None and capture.test:
        images, names = [capture.images[i] for i in capture.test], [capture.names[i] for i in capture.test]
        photographs = Photographed(capture.cameras[capture.test], images, names)
    started = time.perf_counter()
    with torch.no_grad():
        measured = measure(conversion.teacher, conversion.scene, conversion.held_out, photographs)
    stages = {name: round(seconds, 2) for name, seconds in conversion.stage_seconds.items()}
    taught = f"and {conversion.photographed} photographs" if conversion.photographed else "alone"
    device = device_name(conversion.scene.device)
    figures: dict[str, Any] = {
        "scope": f"learnt from the teacher {taught}; {len(conversion.held_out)} held-out cameras; 8-bit sRGB; {device}",
        "history": list(conversion.scene.recipe["conversion"]["history"]),
        "inherited": list(conversion.inherited),
        "stages": stages,
        "seconds_of_measuring": round(time.perf_counter() - started, 2),
    }
    return Measured(figures | measured.figures, measured.pictures)


def _student(name: str | None, arguments: list[str]) -> str:
    """The representation to convert to; a conversion that is continued knows it."""
    if name is None and "--resume" in arguments:
        output, _ = take(arguments, ("-o", "--output"), None)
        if output is None:
            raise BadInput("--resume: wanted the conversion to continue, found none; name it with -o RUN")
        name = _name_in(read_recipe(Path(output)), Path(output))
    if name not in REPRESENTATIONS:
        raise one_of("--to", REPRESENTATIONS, "none" if name is None else name)
    return name


def _name_in(recipe: Mapping[str, Any], run: Path) -> str:
    return str(section(recipe, "representation", str(run / RECIPE)).get("name"))


def _folder(general: General, name: str) -> Path:
    if general.output is not None:
        return general.output
    if general.resume or general.run is None:
        raise BadInput("--resume: wanted the conversion to continue, found none; name it with -o RUN")
    return free_folder(f"{general.run.resolve().name}-{name}")


def _begun(options: Any, folder: Path) -> tuple[Conversion, Capture | None]:
    general: General = options.general
    source = general.run
    assert source is not None
    require_new(folder)
    teacher = load(source)
    capture = _photographs(general, options.converting, teacher.recipe)
    conversion = prepare_conversion(
        teacher, options.representation, options.converting, options.family,
        distilling=options.distilling, capture=capture, run=str(source.resolve()),
    )  # fmt: skip
    return conversion, capture


def _resumed(options: Any, folder: Path, name: str) -> tuple[Conversion, Capture | None]:
    general: General = options.general
    recipe, made = recorded_conversion(folder)
    student = _name_in(recipe, folder)
    if name != student:
        raise BadInput.of("--to", wanted=f"{student}, which {folder} becomes", found=name, remedy="leave it out")
    given = {limit: getattr(options.converting, limit) for limit in LIMITS}
    photographs = made["limits"].get("photographs", True)
    capture = _photographs(general, Converting(photographs=photographs), recipe)
    limits = {name: value for name, value in given.items() if value is not None}
    if options.converting.device != AUTO:
        limits["device"] = options.converting.device
    return resume_conversion(folder, limits, capture), capture


def _planned(conversion: Conversion, capture: Capture | None) -> dict[str, int]:
    """The memory that it will take, said; refuses what will not fit. On a GPU nobody predicts it."""
    if conversion.scene.device.type != "cpu":
        return {}
    configs = configs_of(conversion.scene.recipe, RECIPE)
    looks = 0 if conversion.plan.shared else conversion.looks
    plan = conversion_plan(conversion.teacher, conversion.scene.renderer, configs, capture, looks, memory_in_reach())
    say(plan.sentence())
    plan.check()
    return {"predicted_memory_bytes": round(plan.total)}


def _photographs(general: General, converting: Converting, recipe: Mapping[str, Any]) -> Capture | None:
    """The capture of the run where it is wanted and can be read; conversions need none."""
    if not converting.photographs:
        return None
    try:
        return open_recorded(recipe["capture"], general.capture)
    except BadInput as error:
        if general.capture is not None:
            raise
        say(f"without photographs: {error}")
        return None


def print_report(figures: dict[str, Any], folder: Path) -> None:
    """The summary on standard output; seconds and places on standard error."""
    head, *rows = summary(figures)
    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in figures["stages"].items())
    say(f"{stages}; saved {folder}, the report is {folder / HTML}")
