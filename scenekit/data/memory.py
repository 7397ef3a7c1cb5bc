"""How much memory this process may take."""

from __future__ import annotations

import os
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


def _free() -> int:
    listed = Path("/proc/meminfo")
    if listed.is_file():
        for line in listed.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
