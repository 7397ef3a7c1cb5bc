"""``scenekit fit FILE``: an image, a panorama, a mesh or a volume becomes a field."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from scenekit.assets.lock import holding
from scenekit.assets.run import require_new, write_recipe
from scenekit.cli.options import merged, one_of, parse, take, without
from scenekit.cli.train import free_folder, report, train_session
from scenekit.core.checks import BadInput
from scenekit.data.signals import open_signal
from scenekit.recipes import FitSession, SignalFitting, prepare_fit, resume_fit
from scenekit.recipes.fit import ENCODERS
from scenekit.recipes.signals import default_representation

RADIANCE = ("network", "networks")  # make densities and colours of features; a fit has a network of its own


@dataclass(frozen=True)
class General:
    """What to fit and where to put it.

    Attributes:
        file: an image, an equirectangular panorama, a watertight mesh, a volume, or synthetic-volume.
        output: run folder; runs/FILE-REPRESENTATION where not given.
        panorama: take an image for a panorama whatever its name is.
        resume: continue the run at --output from its newest checkpoint.
        json: print one JSON object with the figures of the training, and no bar.
    """

    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")] = ""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    panorama: bool = False
    resume: bool = False
    json: bool = False


def run(arguments: list[str]) -> None:
    """Fit, or continue with ``--resume``."""
    name, rest = take(arguments, ("-r", "--representation"), None)
    if name is not None and name not in ENCODERS:
        raise one_of("--representation", ENCODERS, name)
    options = _parsed(ENCODERS["hash_grid" if name is None else name], rest)
    started = time.perf_counter()
    with ExitStack() as held:
        session, folder = _resumed(options, held) if options.general.resume else _begun(options, name, rest, held)
        prepared = time.perf_counter() - started
        figures = train_session(session, folder, quiet=options.general.json, command="fit")
    facts = session.signal.facts
    figures |= {"run": str(folder), "representation": session.scene.recipe["representation"]["name"],
                "signal": facts.kind, "seconds_of_preparation": round(prepared, 2)}  # fmt: skip
    report(figures, as_json=options.general.json)


def _parsed(representation: Any, arguments: list[str]) -> Any:
    """All options; ``representation`` is its dataclass, or a value that gives the defaults of its flags."""
    start = representation() if isinstance(representation, type) else representation
    encoding = without(type(start), *RADIANCE)
    flags = encoding(**{item.name: getattr(start, item.name) for item in fields(encoding)})
    kind = merged(
        "Fit",
        ("general", General, False),
        ("fitting", SignalFitting, False),
        ("representation", flags, False),
    )
    about = f"Fit a field to a signal; -r chooses among {', '.join(ENCODERS)}."
    brief = merged("Fit", ("general", General, False), ("fitting", without(SignalFitting, "network"), False))
    options = parse(kind, "fit", arguments, about, brief=brief)
    return replace(options, representation=replace(start, **vars(options.representation)))


def _begun(options: Any, name: str | None, arguments: list[str], held: ExitStack) -> tuple[FitSession, Path]:
    general: General = options.general
    if not general.file:
        raise BadInput("scenekit fit: wanted a file, found none; give an image, a panorama, a mesh or a volume")
    if general.output is not None:
        held.enter_context(holding(general.output))
        require_new(general.output)
    signal = open_signal(general.file, kind="panorama" if general.panorama else None)
    if name is None:  # what suits the signal is known now; flags go on top of it
        options = _parsed(default_representation(signal.facts), arguments)
    session = prepare_fit(signal, options.representation, options.fitting)
    name = session.scene.recipe["representation"]["name"]
    folder = general.output or free_folder(f"{Path(general.file).stem}-{name}")
    if general.output is None:
        held.enter_context(holding(folder))
    write_recipe(folder, session.scene.recipe)
    return session, folder


def _resumed(options: Any, held: ExitStack) -> tuple[FitSession, Path]:
    general: General = options.general
    fitting: SignalFitting = options.fitting
    if general.output is None:
        raise BadInput("--resume: wanted the run to continue, found none; name it with -o RUN")
    held.enter_context(holding(general.output))
    limits = {"steps": fitting.steps, "minutes": fitting.minutes, "target_psnr": fitting.target_psnr}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    return resume_fit(general.output, given), general.output
