"""What a benchmark says of the machine it ran on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> str:
    """Cores, system, Python, and how busy it is now."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    return (
        f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}, "
        f"load average {os.getloadavg()[0]:.1f}"
    )


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
