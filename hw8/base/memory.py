"""How much memory a piece of work takes."""

import contextlib
import ctypes
import gc
import threading
from pathlib import Path
from types import TracebackType

STATUS = Path("/proc/self/status")
PERIOD = 0.02


def give_back() -> None:
    """Return memory that is no longer used to the system, so that what comes next is not charged with it."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # glibc's own; other systems do without
        ctypes.CDLL(None).malloc_trim(0)


class PeakMemory:
    """Looks at this process's memory fifty times a second while the block runs: the largest seen, in MB.

    `private_mb` is what the process holds for itself (RssAnon), without mapped files, whose pages the system takes
    back when it needs them; `resident_mb` counts those too. Both are None where the system does not tell (outside
    of Linux). What the process held before the block counts.
    """

    def __init__(self) -> None:
        self._peak: dict[str, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def private_mb(self) -> float | None:
        """Largest private memory seen, in MB (10^6 bytes)."""
        return self._megabytes("RssAnon")

    @property
    def resident_mb(self) -> float | None:
        """Largest resident memory seen, mapped files included, in MB (10^6 bytes)."""
        return self._megabytes("VmRSS")

    def __enter__(self) -> "PeakMemory":
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._done.wait(PERIOD):
            self._look()

    def _look(self) -> None:
        try:
            lines = STATUS.read_text(encoding="ascii").splitlines()
        except OSError:
            return
        for line in lines:
            name, _, value = line.partition(":")
            if name in ("RssAnon", "VmRSS"):
                self._peak[name] = max(self._peak.get(name, 0), int(value.split()[0]))

    def _megabytes(self, name: str) -> float | None:
        return self._peak[name] * 1024 / 1e6 if name in self._peak else None
