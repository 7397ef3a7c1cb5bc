"""pycolmap, whose loading takes SIGTERM from whoever answers it; it is given back.

Its log installs a handler that prints a stack trace and ends the process on the spot: nothing half-written would be
removed, and no training saved. Import it from here, where it is first needed: it takes a while to load.
"""

from __future__ import annotations

import ctypes
import signal

# Threads other than the main one may load it too, in which signal.signal() is forbidden.
_handler_of = ctypes.pythonapi["PyOS_getsig"]
_handler_of.argtypes, _handler_of.restype = [ctypes.c_int], ctypes.c_void_p
_answer = ctypes.pythonapi["PyOS_setsig"]
_answer.argtypes, _answer.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p

_before = _handler_of(signal.SIGTERM)
import pycolmap  # noqa: E402

_answer(signal.SIGTERM, _before)

__all__ = ["pycolmap"]
