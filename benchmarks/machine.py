"""The machine that figures were taken on, as every benchmark prints it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine(*packages: str) -> str:
    """Return a line: processor, cores, memory, system, Python, and the versions of packages."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0.0
    told = [f"{name} {_version(name)}" for name in packages]
    system = f"{platform.system()} {platform.release()}"
    about = [f"{os.cpu_count()} cores of {cpu}", f"{memory:.0f} GiB", system, f"Python {platform.python_version()}"]
    return ", ".join([*about, *told])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
