"""Times the way to the first step: ``python -m benchmarks.first_step [CAPTURE] [-r hash_grid] [--device cuda]``.

Seconds from the call of ``train`` on an opened capture until the numbers of the first step are there, each in a process
of its own: with an empty folder of compiled kernels, then with what that run left there. On a GPU numbers are read when
the second step has been issued. Imports are timed apart; the synthetic capture (24 photographs of 200x200) stands in
where none is named.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", nargs="?", default="")
    parser.add_argument("-r", "--representation", default="hash_grid")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(seconds(options.capture, options.representation, options.device)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for kernels in ("compiled", "found compiled"):
            environment = os.environ | {"SCENEKIT_CACHE": folder}
            command = [sys.executable, "-m", "benchmarks.first_step", *sys.argv[1:], "--inside"]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            print(f"kernels {kernels}: {done.stdout.splitlines()[-1]}", flush=True)


def seconds(path: str, representation: str, device: str) -> dict[str, float]:
    """Of imports, of preparing, and from there to the first step's numbers."""
    began = time.perf_counter()
    import scenekit
    from scenekit.data import synthetic
    from scenekit.recipes import Fitting, prepare
    from scenekit.representations import REPRESENTATIONS
    from scenekit.training.steps import steps

    imported = time.perf_counter()
    capture = scenekit.open_capture(path) if path else synthetic.make(views=24, size=(200, 200))
    opened = time.perf_counter()
    session = prepare(capture, REPRESENTATIONS[representation](), Fitting(steps=100, device=device))
    prepared = time.perf_counter()
    next(iter(steps(session.training)))
    stepped = time.perf_counter()
    return {
        "imports": round(imported - began, 2),
        "prepare": round(prepared - opened, 2),
        "first_step": round(stepped - prepared, 2),
        "train_to_first_step": round(stepped - opened, 2),
    }


if __name__ == "__main__":
    main()
