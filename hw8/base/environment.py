"""The machine, the versions and the commit behind a result."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hw8 import __version__
from hw8.base.memory import peak_resident_mb


def describe_environment() -> dict[str, Any]:
    """Return versions, processor, threads, peak memory, commit and date, as summary.json keeps them."""
    import numpy
    import torch

    return {
        "versions": {
            "hw8": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        "hardware": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "peak_resident_mb": peak_resident_mb(),
        "commit": git_commit(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def git_commit() -> str | None:
    """Return the commit of hw8's checkout, with "-dirty" for uncommitted changes, or None outside of a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None  # installed, perhaps inside the repository of another project
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
