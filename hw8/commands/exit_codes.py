"""How a command ends: its exit code and, where it fails, one line on standard error."""

import errno
import io
import logging
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence

from hw8.base.errors import InputError, Interrupted, error_reason
from hw8.base.memory import keep_memory
from hw8.base.processes import GONE, leave
from hw8.commands.spelling import for_shell

# Seconds that another process than rank 0 waits before it prints its error. If all of them fail, rank 0 reports it and
# the launcher ends the others meanwhile; much shorter, and the same line appears once per process.
PATIENCE = 3.0
# A full disk or quota, too large a file, a broken disk, a closed standard output.
FAILED_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
# What PyTorch says if a GPU's memory, or the machine's, does not suffice.
NO_MEMORY = re.compile("out of memory|can't allocate memory")


def run(command: Callable[[], None]) -> None:
    """Call a command and exit: 0 done, 2 bad usage or input (one line), 130 interrupted with the work saved."""
    _prepare_process()
    try:
        command()
        sys.stdout.flush()
    except InputError as error:
        _exit(f"error: {error}", 2, error.choices)
    except Interrupted as stop:
        if not _is_rank_0() and not str(stop).startswith(GONE):
            sys.exit(130)  # all processes stop together, and rank 0 says so
        _exit(str(stop), 130)
    except KeyboardInterrupt as stop:
        reason = stop.__context__  # the command may have been leaving already
        _exit(str(reason) if isinstance(reason, Interrupted) else "interrupted", 130)
    except BrokenPipeError:
        # The reader of the output (head, less) has closed it: there is nowhere to print an error.
        _discard_stdout()
    except OSError as error:
        if error.filename is None and error.errno not in FAILED_OUTPUT:
            raise
        _discard_stdout()
        _exit(f"error: {error.filename or 'standard output, or a file that is written'}: {error_reason(error)}", 2)
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or NO_MEMORY.search(str(error))):
            raise
        remedy = "close other programs, or train with a lower `batch_size` or `score_batch_size`"
        _exit(f"error: not enough memory; {remedy}", 2)
    finally:
        leave()


def _prepare_process() -> None:
    """Set up what is logged and printed, which signals stop the command, and how it uses memory."""
    keep_memory()
    level = logging.INFO if _is_rank_0() else logging.ERROR
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Spelled("%(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("hw8").setLevel(level)  # of other libraries, warnings only
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may have characters that a terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # about odd pictures; those that cannot be read have a reason
    # torchrun ends the others with SIGTERM once a process is gone; unhandled, it would cut off the line that says why.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A terminal that is closed ends its commands as SIGTERM does, with the work saved, unless nohup keeps them running.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))


class _Spelled(logging.Formatter):
    """Log lines, with settings and commands as they are typed."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return for_shell(super().format(record))


def _is_rank_0() -> bool:
    """Whether this process is rank 0 of its job, or alone."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def _discard_stdout() -> None:
    """Send what is still to be written to nowhere, so that Python does not fail at it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit(line: str, code: int, below: Sequence[str] = ()) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not _is_rank_0():
        # An error of every process is printed by rank 0, which ends the job; one of this process alone by itself.
        time.sleep(PATIENCE)
        line = f"process {os.environ['RANK']}: {line}"
    print(for_shell(" ".join(line.split("\n"))), *below, sep="\n", file=sys.stderr)
    sys.exit(code)
