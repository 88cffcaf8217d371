"""How much memory a piece of work takes."""

import contextlib
import ctypes
import gc
import threading
from types import TracebackType

import psutil

PERIOD = 0.02  # seconds between two looks: shorter than any batch that takes memory worth counting


def release_memory() -> None:
    """Return memory that is no longer used to the system, so that what comes next is not charged with it."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # glibc's own; other systems do without
        ctypes.CDLL(None).malloc_trim(0)


class PeakMemory:
    """The largest memory of a process while the block runs, looked at fifty times a second, in MB (10^6 bytes).

    `private_mb` is what the process holds for itself, without mapped files, whose pages the system takes back when it
    needs them; None on macOS, which does not tell. `resident_mb` counts those pages too. What the process held before
    the block counts. `pid` is the process to look at, by default this one.
    """

    def __init__(self, pid: int | None = None) -> None:
        self.private_mb: float | None = None
        self.resident_mb = 0.0
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

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
            memory = self._process.memory_info()
        except psutil.Error:
            return  # the process has ended
        self.resident_mb = max(self.resident_mb, memory.rss / 1e6)
        if hasattr(memory, "shared"):  # Linux
            self.private_mb = max(self.private_mb or 0.0, (memory.rss - memory.shared) / 1e6)
        elif hasattr(memory, "private"):  # Windows
            self.private_mb = max(self.private_mb or 0.0, memory.private / 1e6)
