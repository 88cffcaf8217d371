"""Peak memory: of a block of code, and of this process since it started."""

import contextlib
import ctypes
import gc
import sys
import threading

import psutil

# Seconds between two samples: shorter than any batch that takes memory worth counting. A hundred times as many samples
# would slow down what is measured.
PERIOD = 0.02


def keep_memory() -> None:
    """Let the C library keep freed memory, because the next step needs as much of it again.

    By default glibc gives large blocks back to the system, which clears them page by page before it hands them out
    again: a tenth of a convolutional model's step on two cores, a quarter of a small one's. All threads share one heap:
    a heap per thread grows in blocks of 64 MB, and returns each once it is empty. Other C libraries are left as they
    are.
    """
    trim_threshold, mmap_max, arena_max = -1, -4, -8  # M_TRIM_THRESHOLD, M_MMAP_MAX and M_ARENA_MAX of glibc
    with contextlib.suppress(OSError, AttributeError, TypeError):  # on Windows CDLL(None) raises TypeError
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(arena_max, 1)


def release_memory() -> None:
    """Return freed memory to the system, so that the next measurement does not count it."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # only glibc has malloc_trim
        ctypes.CDLL(None).malloc_trim(0)


def peak_resident_mb() -> float | None:
    """Return this process's largest resident memory so far in MB, mapped files included; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)  # macOS counts bytes, Linux kilobytes


class PeakMemory:
    """The largest memory of a process during a `with` block, sampled fifty times per second, in MB (10^6 bytes).

    `private_mb` omits mapped files, whose pages the system takes back when it needs them; it is None on macOS, which
    does not report it. `resident_mb` includes those pages. What the process held before the block counts. `pid` is the
    process to measure, by default this one.
    """

    def __init__(self, pid: int | None = None) -> None:
        self.private_mb: float | None = None
        self.resident_mb = 0.0
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._ended.wait(PERIOD):
            self._sample()

    def _sample(self) -> None:
        try:
            memory = self._process.memory_info()
        except psutil.Error:
            return  # the process has ended
        self.resident_mb = max(self.resident_mb, memory.rss / 1e6)
        if hasattr(memory, "shared"):  # Linux
            self.private_mb = max(self.private_mb or 0.0, (memory.rss - memory.shared) / 1e6)
        elif hasattr(memory, "private"):  # Windows
            self.private_mb = max(self.private_mb or 0.0, memory.private / 1e6)
