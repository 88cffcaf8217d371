"""Several processes doing one job: who we are among them, and what we tell each other.

Started by `torchrun` or `accelerate launch`, every process runs the same program; the first (rank 0) alone writes and
prints. Alone, everything here does nothing and costs nothing.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from hw8.base.errors import InputError, Interrupted

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")
GONE = "another process of this job is gone"


@dataclasses.dataclass(frozen=True)
class Processes:
    """This process among those of the job."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    device: str = "cpu"

    @property
    def main(self) -> bool:
        """Whether this one writes and prints."""
        return self.rank == 0

    def shard(self, items: list[Value]) -> list[Value]:
        """Those of the items that are this process's to work on: every one is some process's, and none is two's."""
        return items[self.rank :: self.count]

    def all_reduce(self, value: "Tensor") -> "Tensor":
        """The sum of all processes' tensors, in place."""
        if self.count > 1:
            import torch.distributed as dist

            with _together():
                dist.all_reduce(value)
        return value

    def broadcast(self, value: Value) -> Value:
        """The value that rank 0 holds; the other ranks' `value` is ignored."""
        if self.count == 1:
            return value
        import torch.distributed as dist

        box = [value]
        with _together():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def refuse_together(self, problem: str) -> None:
        """Raise InputError in every process if rank 0 has a problem; the other ranks' `problem` is ignored."""
        if problem := self.broadcast(problem):
            raise InputError(problem)

    def broadcast_tensors(self, tensors: "list[Tensor]") -> None:
        """Overwrite these tensors by those of rank 0."""
        if self.count > 1:
            import torch.distributed as dist

            with _together():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)

    def all_gather(self, value: Value) -> list[Value]:
        """The values of all processes, ordered by rank."""
        if self.count == 1:
            return [value]
        import torch.distributed as dist

        found: list[Any] = [None] * self.count
        with _together():
            dist.all_gather_object(found, value)
        return found


@functools.cache
def processes() -> Processes:
    """Join the job that the environment names (as torchrun and accelerate set it); alone if it names none.

    Raises InputError if the other processes cannot be reached.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    import torch

    try:
        from accelerate import PartialState

        # The processor unless there is a GPU for each process of this machine.
        local = int(os.environ.get("LOCAL_WORLD_SIZE", count))
        state = PartialState(cpu=torch.cuda.device_count() < local)
    except ImportError:
        raise InputError("several processes need accelerate: pip install accelerate") from None
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"the job's processes cannot reach each other ({reason})") from None
    return Processes(state.process_index, state.num_processes, state.local_process_index, state.device.type)


def leave() -> None:
    """Part from the others at the end of a job, so that none of them waits for this process."""
    if processes.cache_info().currsize and processes().count > 1:
        import torch.distributed as dist

        if dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Turn the loss of another process into a message."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:100]
        raise Interrupted(
            f"{GONE} ({reason}); what was saved is kept: the same command, or `resume`, goes on with any "
            "number of processes"
        ) from None
