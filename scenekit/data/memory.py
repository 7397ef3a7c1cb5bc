"""How much memory this process may take."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_in_reach() -> int:
    """Bytes that are free, with those that this process holds already, within its container's limit."""
    free = _free() + held_now()
    for name in CGROUP_LIMITS:
        limit = Path(name)
        text = limit.read_text().strip() if limit.is_file() else ""
        if text.isdigit():
            free = min(free, int(text))
    return free


def held_now() -> int:
    """Bytes of this process that are in memory; 0 where the system does not say."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if status.is_file() else 0


def give_back() -> None:
    """Let the system have what was freed and is held for later; where the C library offers it, which glibc does."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def most_held() -> int:
    """The most bytes of this process that were in memory at once.

    Linux says it of this program alone; ``getrusage`` there counts what the process held that started it as well.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _free() -> int:
    listed = Path("/proc/meminfo")
    if listed.is_file():
        for line in listed.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
