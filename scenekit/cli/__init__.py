"""The command line: thin commands; exit code 0 done, 2 bad input or usage, 1 our own fault.

130 is Ctrl-C, 143 a request to end (SIGTERM).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from scenekit.core.checks import BadInput

# Name: (module with a function ``run(arguments)``, help). A command's libraries load when it is called.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("scenekit.cli.demo", "the whole loop on an embedded capture, on a CPU, without a download"),
    "process": ("scenekit.cli.process", "photographs or a video become a capture with camera poses"),
    "train": ("scenekit.cli.train", "photographs with poses become a scene"),
    "fit": ("scenekit.cli.fit", "an image, a panorama, a mesh or a volume becomes a field"),
    "evaluate": ("scenekit.cli.evaluate", "held-out PSNR and SSIM of a run"),
    "render": ("scenekit.cli.render", "a film or pictures along a camera path"),
    "convert": ("scenekit.cli.convert", "a scene in one representation becomes a scene in another"),
    "view": ("scenekit.cli.view", "scenes in the browser"),
    "export": ("scenekit.cli.export", "a scene as a file, in the world's own frame"),
    "import": ("scenekit.cli.import_file", "a file from elsewhere becomes a run"),
    "info": ("scenekit.cli.info", "what is in a run, a file or a capture"),
    "doctor": ("scenekit.cli.doctor", "which backend serves each operator, and what would make it faster"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(_help())
        return 0 if given else 2
    if given[0] == "--version":
        print(_version())
        return 0
    if given[0] not in COMMANDS:
        near = get_close_matches(given[0], COMMANDS, 1)
        meant = f"; did you mean {near[0]}?" if near else "; scenekit --help says what each does"
        return _refuse(f"scenekit: wanted a command among {', '.join(COMMANDS)}, found '{given[0]}'{meant}")
    return _guarded(import_module(COMMANDS[given[0]][0]).run, given[1:])


def _guarded(run: Callable[[list[str]], None], arguments: list[str]) -> int:
    from scenekit.cli.signals import Terminated, terminating

    try:
        with terminating():
            if os.environ.get("SCENEKIT_KERNELS"):
                import_module("scenekit.kernels.adapters").adapted()  # what it names must be there
            if arguments and Path(arguments[0]).exists():
                import_module("scenekit.assets.web.page").refuse_page(Path(arguments[0]))
            run(arguments)
    except BadInput as error:
        return _refuse(str(error))
    except Terminated:
        return 143
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output went away
        sys.stderr.close()
        return 1
    return 0


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: scenekit COMMAND ...  (scenekit COMMAND --help says more)", "", *lines])


def _version() -> str:
    from importlib.metadata import version

    return f"scenekit {version('scenekit')}"
