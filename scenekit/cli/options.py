"""Options: tyro makes the flags from dataclasses, presets are saved flags, usage errors are one sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import re
import sys
import tomllib
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from scenekit import resources
from scenekit.cli.examples import EXAMPLES
from scenekit.core.checks import BadInput

Options = TypeVar("Options")

EVERYTHING = "--help-all"
# Of what tyro says: a value that is none of an optional type, what Python says of a number, and the flags it proposes.
WRONG_TYPE = re.compile(
    r"Error parsing (?P<flag>\S+): no type matching \{None\}\|(?P<kind>\S+) could be instantiated from "
    r"\['(?P<found>.*)'\]"
)
NO_NUMBER = re.compile(
    r"Error parsing (?P<flag>\S+): (?:invalid literal for (?P<whole>int)\(\) with base 10|could not convert string to "
    r"float): '(?P<found>.*)'"
)
FLAG = re.compile(r"(--[\w.-]+)")
MISSING = re.compile(r"Missing from scenekit \S+: (?P<listed>.*)")
REQUIRED = "(required)"  # after each of what is missing and what tyro says of it
MOST_HINTS = 3


def parse(
    kind: type[Options],
    command: str,
    arguments: Sequence[str],
    description: str = "",
    *,
    brief: type[Any] | None = None,
) -> Options:
    """Parse ``arguments`` into ``kind``; ``--help`` prints and leaves with 0, a usage error raises BadInput.

    ``brief`` holds the options that fit a screen, for ``--help``; ``--help-all`` then lists those of ``kind``.
    """
    about = f"{description}\n\nExample: {EXAMPLES[command]}"
    if helps(arguments):
        shown = kind if brief is None or EVERYTHING in arguments else brief
        about += "" if shown is kind else f"\n{EVERYTHING} lists the rarer options too."
        # Of two flags that say the opposite, one says nothing new: each switch is named once.
        config = (tyro.conf.FlagCreatePairsOff,)
        tyro.cli(_terse(shown), prog=f"scenekit {command}", args=["--help"], description=about, config=config)
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(kind, prog=f"scenekit {command}", args=list(arguments), description=about)
    except SystemExit as stop:
        if stop.code == 0:
            raise
        raise BadInput(f"scenekit {command}: {_one_sentence(errors.getvalue())}") from None


def helps(arguments: Sequence[str]) -> bool:
    """Whether help is asked for."""
    return bool({"-h", "--help", EVERYTHING} & set(arguments))


def without(kind: type[Any], *names: str) -> type[Any]:
    """A dataclass with all fields of ``kind`` but these; those that are left have plain defaults, or none."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = [
        (item.name, hints[item.name], dataclasses.field(default=item.default))
        for item in dataclasses.fields(kind)
        if item.name not in names
    ]
    return dataclasses.make_dataclass(kind.__name__, fields, namespace={"__doc__": kind.__doc__}, frozen=True)


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


def _terse(kind: type[Any], start: Any = None) -> type[Any]:
    """The same options less what fills a screen and tells nothing: None as a value, and defaults that say no more.

    ``start`` has the defaults, where they are not those of ``kind``.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = []
    for item in dataclasses.fields(kind):
        hint = hints[item.name]
        plain, *told = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
        default = _default_of(item) if start is None else getattr(start, item.name)
        if isinstance(plain, type) and dataclasses.is_dataclass(plain):
            plain = _terse(plain, default)
            made = dataclasses.field(default_factory=plain)
        else:
            made = dataclasses.field(default=default)
        told = [tyro.conf.arg(metavar=_metavar(plain), help_behavior_hint=_shown), *told]
        fields.append((item.name, Annotated[plain, *told], made))
    return dataclasses.make_dataclass(kind.__name__, fields, namespace={"__doc__": kind.__doc__}, frozen=True)


def _default_of(item: dataclasses.Field[Any]) -> Any:
    return item.default_factory() if callable(item.default_factory) else item.default


def _metavar(hint: Any) -> str | None:
    """Of what may be None: what else it may be. tyro names all others well."""
    kinds = [each for each in typing.get_args(hint) if each is not type(None)]
    return None if type(None) not in typing.get_args(hint) else "|".join(map(_named, kinds))


def _named(hint: Any) -> str:
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return f"{{{','.join(inner)}}}"
    return " ".join(map(_named, inner)) if inner else hint.__name__.upper()


def _shown(value: str) -> str:
    """The default, unless it is nothing; a switch turns what it names over."""
    return "" if value in ("", "''", "None", "True", "False") else f"(default: {value})"


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

    ``general`` names the keys of the general part that a conversion knows, for which ``[convert.representation]`` comes
    last; a training knows all of them, where it is None. Raises BadInput for a preset that is not there or cannot be
    read, and for a value that is none of a flag.
    """
    from scenekit.representations import REPRESENTATIONS

    if preset is None:
        return []
    file = Path(preset) if preset.endswith(".toml") else resources.path("configs") / f"{preset}.toml"
    values = _read_preset(preset, file)
    converting = _table(values, "convert", file)
    known = {key: value for key, value in values.items()
             if key not in (*REPRESENTATIONS, "convert") and (general is None or key in general)}  # fmt: skip
    flags = [*_flags(known, file), *_flags(_table(values, representation, file), file)]
    return flags if general is None else [*flags, *_flags(_table(converting, representation, file, "convert."), file)]


def _table(values: Mapping[str, Any], name: str, file: Path, group: str = "") -> Mapping[str, Any]:
    """A table of flags; an empty one where there is none. Raises BadInput for anything else of that name."""
    found = values.get(name, {})
    if not isinstance(found, Mapping):
        raise BadInput.of(f"{file}: {group}{name}", wanted=f"a table of flags, [{group}{name}]",
                          found=repr(found), remedy="correct it")  # fmt: skip
    return found


def presets() -> list[str]:
    """Names of the presets that come with us."""
    return sorted(path.stem for path in resources.path("configs").glob("*.toml"))


def _read_preset(preset: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError:
        known = ", ".join(presets())
        raise BadInput.of(preset, wanted=f"a preset among {known}, or a .toml file", found="neither",
                          remedy="choose one") from None  # fmt: skip
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        found = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput.of(file, wanted="a preset in TOML", found=str(found), remedy="correct it") from error


def _flags(values: Mapping[str, Any], file: Path, group: str = "") -> list[str]:
    """A table in a table is a group of flags: its name and a dot come before theirs."""
    flags: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            flags += _flags(value, file, f"{group}{key}.")
        elif isinstance(value, list):
            raise BadInput.of(f"{file}: {group}{key}", wanted="one value", found=f"a list of {len(value)}",
                              remedy=f"leave it out and give --{group}{key} on the command line")  # fmt: skip
        elif isinstance(value, bool):
            *before, last = f"{group}{key}".split(".")
            flags.append("--" + ".".join([*before, last if value else f"no-{last}"]))
        else:
            flags += [f"--{group}{key}", str(value)]
    return flags


def _one_sentence(box: str) -> str:
    """tyro's framed message as one line; its title, and what follows its first rule (help texts), are left out.

    The frame is drawn in ASCII where standard output is not UTF-8.
    """
    lines = [line.strip(" │╭╮╰╯") for line in box.splitlines()]
    after_title = itertools.dropwhile(_is_rule, [line for line in lines if line][1:])
    message = " ".join(itertools.takewhile(lambda line: not _is_rule(line) and line != "Got errors:", after_title))
    message = WRONG_TYPE.sub(r"\g<flag>: wanted \g<kind>, found \g<found>", message).rstrip(".")
    message = NO_NUMBER.sub(_no_number, message)
    message = MISSING.sub(lambda missing: _missing(missing["listed"]), message)
    hints = itertools.dropwhile(lambda line: not line.startswith("Perhaps you meant"), lines)
    near = [flag[1] for flag in map(FLAG.match, hints) if flag is not None][:MOST_HINTS]
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{message}; {meant}--help lists the options"


def _no_number(said: re.Match[str]) -> str:
    return f"{said['flag']}: wanted {'INT' if said['whole'] else 'FLOAT'}, found {said['found']}"


def _missing(listed: str) -> str:
    """What has to be given and was not: arguments by their names, options by their flags."""
    named = []
    for each in filter(None, map(str.strip, listed.split(REQUIRED))):
        flag = FLAG.search(each) if each.startswith("-") else None
        named.append(each.split()[0] if flag is None else flag[1])
    return f"wanted {' and '.join(named)}, found none"


def one_of(flag: str, choices: Collection[str], found: str) -> BadInput:
    """What to raise where ``found`` is none of the choices; the one that looks like it is named."""
    near = get_close_matches(found, choices, 1)
    remedy = f"did you mean {near[0]}?" if near else "choose one"
    return BadInput.of(flag, wanted=", ".join(choices), found=found, remedy=remedy)


def _is_rule(line: str) -> bool:
    return set(line) <= {"─", "-"}


def say(line: str) -> None:
    """A line for the person at the terminal; standard output stays free for results."""
    print(line, file=sys.stderr)
