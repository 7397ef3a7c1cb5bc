"""Options: tyro makes the flags from dataclasses, presets are saved flags, usage errors are one sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from scenekit import resources
from scenekit.core.checks import BadInput

Options = TypeVar("Options")


def parse(kind: type[Options], command: str, arguments: Sequence[str], description: str | None = None) -> Options:
    """Parse ``arguments`` into ``kind``; ``--help`` prints and leaves with 0, a usage error raises BadInput."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(kind, prog=f"scenekit {command}", args=list(arguments), description=description)
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise BadInput(f"scenekit {command}: {_one_sentence(errors.getvalue())}") from None


def merged(name: str, *parts: tuple[str, Any, bool]) -> type[Any]:
    """One dataclass out of several: (field name, its dataclass, whether its flags carry the name as a prefix).

    A value in place of a dataclass gives the defaults.
    """
    fields = [
        (
            field,
            kind if prefixed else Annotated[kind, tyro.conf.arg(name="")],
            dataclasses.field(default_factory=make),
        )
        for field, kind, make, prefixed in map(_part, parts)
    ]
    return dataclasses.make_dataclass(name, fields, frozen=True)


def _part(part: tuple[str, Any, bool]) -> tuple[str, type[Any], Callable[[], Any], bool]:
    field, given, prefixed = part
    if isinstance(given, type):
        return field, given, given, prefixed
    return field, type(given), lambda: given, prefixed


def take(arguments: Sequence[str], flags: Sequence[str], default: str | None) -> tuple[str | None, list[str]]:
    """The value of an option that must be known before the others can be parsed, and the rest."""
    rest: list[str] = []
    value = default
    pending = iter(arguments)
    for argument in pending:
        flag, equals, inline = argument.partition("=")
        if flag not in flags:
            rest.append(argument)
        elif equals:
            value = inline
        else:
            value = next(pending, None)
            if value is None:
                raise BadInput(f"{flag}: wanted a value, found none; give one")
    return value, rest


def preset_arguments(preset: str | None, representation: str, general: Collection[str] | None = None) -> list[str]:
    """A preset as flags, to be put before the user's own; its table ``[representation]`` follows the general part.

    ``general`` names the keys of the general part that the command knows; all of them where None.
    """
    if preset is None:
        return []
    file = Path(preset) if preset.endswith(".toml") else resources.path("configs") / f"{preset}.toml"
    try:
        values = tomllib.loads(file.read_text())
    except FileNotFoundError:
        known = ", ".join(sorted(path.stem for path in resources.path("configs").glob("*.toml")))
        raise BadInput.of(preset, wanted=f"a preset among {known}, or a .toml file", found="neither",
                          remedy="choose one") from None  # fmt: skip
    except tomllib.TOMLDecodeError as error:
        raise BadInput.of(file, wanted="a preset in TOML", found=str(error), remedy="correct it") from error
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    known = {key: value for key, value in plain.items() if general is None or key in general}
    return [*_flags(known), *_flags(values.get(representation, {}))]


def _flags(values: Mapping[str, Any]) -> list[str]:
    flags: list[str] = []
    for key, value in values.items():
        if isinstance(value, bool):
            flags.append(f"--{key}" if value else f"--no-{key}")
        else:
            flags += [f"--{key}", str(value)]
    return flags


def _one_sentence(box: str) -> str:
    """tyro's framed message as one line; its title, and what follows its first rule (help texts), are left out.

    The frame is drawn in ASCII where standard output is not UTF-8.
    """
    lines = [line.strip(" │╭╮╰╯") for line in box.splitlines()]
    after_title = itertools.dropwhile(_is_rule, [line for line in lines if line][1:])
    message = itertools.takewhile(lambda line: not _is_rule(line) and line != "Got errors:", after_title)
    return " ".join(message).rstrip(".") + "; --help lists the options"


def _is_rule(line: str) -> bool:
    return set(line) <= {"─", "-"}


def say(line: str) -> None:
    """A line for the person at the terminal; standard output stays free for results."""
    print(line, file=sys.stderr)
