"""Ctrl-C and SIGTERM, turned into a flag that the training loop reads between two steps."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

from hw8.base.errors import Interrupted


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether a stop was requested. A second Ctrl-C stops at once."""
    requested = False

    def request(number: int, _frame: object) -> None:
        nonlocal requested
        if requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        requested = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: requested  # only the main thread may set handlers; elsewhere the host keeps its own
        return
    handlers = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: requested
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def stopping_as_interrupted(message: str) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM within the block into Interrupted with this message."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(message) from None
    finally:
        if main:
            signal.signal(signal.SIGTERM, handler)
