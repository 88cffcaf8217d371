"""How many threads PyTorch computes with, in training as many as there are cores that other programs leave free.

Threads wait for each other at every small operation, so one that shares its core with another program holds up all of
them: two threads on two cores, one of which is busy, train at a third of the free rate, one thread at two thirds.
Batches that are scored do not depend on each other, so there each thread has batches of its own, and none waits.
"""

import contextlib
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import psutil

from hw8.base.errors import InputError
from hw8.base.processes import processes

BUSY = ("user", "nice", "system", "irq", "softirq", "steal")  # what psutil counts of a core that is not idle
PERIOD = 0.3  # seconds: the system counts in hundredths of a second, so that a load is good to a tenth of a core
TOLERATED = 0.25  # of a core, used by others, that still counts as free: chosen by hand, above an idle desktop's noise
SLOW = 2 / 3  # of the best rate: what one thread reaches of two, so that above it fewer threads would not be faster
MAX_AT_ONCE = 8  # batches, since each needs memory for its intermediate results, and Python starts all operations
MIN_SECONDS = 2.0  # seconds over which a rate is compared: shorter epochs vary by themselves

T = TypeVar("T")
R = TypeVar("R")
log = logging.getLogger(__name__)


class OtherLoad:
    """The cores that other processes use, of those that this one may use, from now on."""

    def __init__(self) -> None:
        self._start, self._busy = time.monotonic(), _seconds_of_others()

    @property
    def seconds(self) -> float:
        """How long it has been measured."""
        return time.monotonic() - self._start

    def cores(self) -> float:
        """Mean number of cores in use."""
        return max(0.0, (_seconds_of_others() - self._busy) / self.seconds)


class Threads:
    """The threads of a block (see `computing_threads`), which may become fewer while it runs."""

    def __init__(self, adaptive: bool = False) -> None:
        self._adaptive, self._best, self._images, self._load = adaptive, 0.0, 0, OtherLoad()

    def adapt(self, images: int) -> bool:
        """Take fewer threads if others use the cores and the rate fell below two thirds of the best so far.

        The first time there is no rate to compare, and the load decides: two trainings that were started at once each
        measured before the other one was busy. `images` were computed since the last call. Returns whether the number
        has changed; a given one never does.
        """
        import torch

        self._images += images
        if not self._adaptive or self._load.seconds < MIN_SECONDS:
            return False
        rate, load, before = self._images / self._load.seconds, self._load.cores(), torch.get_num_threads()
        slow = self._best == 0 or rate < SLOW * self._best
        self._best, self._images, self._load = max(self._best, rate), 0, OtherLoad()
        number = min(before, _free(load))
        if not slow or number == before:
            return False
        torch.set_num_threads(number)
        log.info("threads: %d from here on, %d before: %s", number, before, _described(load))
        return True


_load_since_start: list[OtherLoad] = []  # one at most
_is_chosen: ContextVar[bool] = ContextVar("is_chosen", default=False)  # whether hw8 chose the number of threads itself


def begin_measuring() -> None:
    """Measure the load from now on, so that the next `computing_threads`, and only that one, need not wait for it."""
    _load_since_start[:] = [OtherLoad()]


@contextlib.contextmanager
def computing_threads(number: int | None = None, shared: bool = False) -> Iterator[Threads]:
    """Within the block, PyTorch computes with `number` threads or, by default, with as many as there are free cores.

    The default is measured in a third of a second, or since `begin_measuring`, and is never more than PyTorch had; with
    `shared`, for threads that do not wait for each other, busy cores count as free ones. It is PyTorch's own number
    where OMP_NUM_THREADS gives that, and in a job of several processes. Raises InputError for a number below 1.
    """
    import torch

    load = _load_since_start.pop() if _load_since_start else None
    if number is not None and number < 1:
        raise InputError(f"`threads` {number}: must be at least 1")
    before = torch.get_num_threads()
    adaptive = number is None and before > 1 and processes().world_size == 1 and not os.environ.get("OMP_NUM_THREADS")
    if adaptive:
        number = min(before, available_cores()) if shared else _measured(before, load or OtherLoad())
    token = _is_chosen.set(adaptive)
    try:
        if number is not None and number != before:
            torch.set_num_threads(number)
        yield Threads(adaptive)
    finally:
        _is_chosen.reset(token)
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def has_spare_cores() -> bool:
    """Whether as many threads again may compute beside the present ones: hw8 chose those, and half of the cores do."""
    import torch

    return _is_chosen.get() and 2 * torch.get_num_threads() <= available_cores()


def in_threads(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield what `work` gives for each item, in order; as many items are worked on at once as PyTorch has threads.

    Of more than eight threads several share an item. Their number does not depend on how many items there are, so that
    an item's result does not either, to the last digit.
    """
    import torch

    threads = torch.get_num_threads()
    if threads == 1 or not items:
        yield from map(work, items)
        return
    each = math.ceil(threads / MAX_AT_ONCE)
    at_once = min(threads // each, len(items))
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(each,))
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > at_once:  # one more than are worked on, so that none of the threads has to wait
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the workers have set it also for MKL, and for threads that begin later


def available_cores() -> int:
    """Return the number of cores that this process may use: its affinity, and its container's limit rounded down."""
    return max(1, math.floor(min(len(_cores()), _container_limit())))


def _measured(most: int, load: OtherLoad) -> int:
    """The number of free cores, at least 1 and at most `most`."""
    time.sleep(max(0.0, PERIOD - load.seconds))
    used = load.cores()
    number = min(most, _free(used))
    if number < most:
        log.info("threads: %d, where %d are possible: %s; `threads` N overrides", number, most, _described(used))
    return number


def _free(load: float) -> int:
    """Threads beside others that use `load` cores."""
    return max(1, min(available_cores(), math.floor(len(_cores()) - load + TOLERATED)))


def _described(load: float) -> str:
    limit = f", and this container may use {available_cores()}" if available_cores() < len(_cores()) else ""
    return f"other programs use {load:.1f} of {len(_cores())} cores{limit}"


def _cores() -> list[int]:
    """The numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _seconds_of_others() -> float:
    """Processor seconds so far on these cores that were not this process's; only differences mean something."""
    by_core, own = psutil.cpu_times(percpu=True), psutil.Process().cpu_times()
    busy = sum(getattr(by_core[core], name, 0.0) for core in _cores() if core < len(by_core) for name in BUSY)
    return float(busy - own.user - own.system)


def _container_limit(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """Cores' worth of time that Linux's control groups allow (`docker run --cpus`); infinity without a limit."""
    with contextlib.suppress(OSError, ValueError):  # version 1
        quota, period = (int((root / "cpu" / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        if quota > 0:
            return quota / period
    limits = [math.inf]
    with contextlib.suppress(OSError, ValueError, StopIteration):  # version 2, where every group above limits too
        group = next(line[3:].strip("/") for line in own.read_text().splitlines() if line.startswith("0::"))
        for path in (root / group, *(root / group).parents):
            if path.is_relative_to(root) and (file := path / "cpu.max").exists():
                quota_text, period_text = file.read_text().split()
                limits.append(math.inf if quota_text == "max" else int(quota_text) / int(period_text))
    return min(limits)
