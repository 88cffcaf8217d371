"""The processes of a job: which of them this is, and what they exchange.

Started by `torchrun` or `accelerate launch`, every process runs the same program; rank 0 alone writes and prints. In a
single process the functions here do nothing.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hw8.base.errors import InputError, Interrupted, error_reason

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")
GONE = "another process of this job is gone"


@dataclasses.dataclass(frozen=True)
class Processes:
    """This process among those of the job."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    device: str = "cpu"

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes and prints."""
        return self.rank == 0

    def shard(self, items: list[Value]) -> list[Value]:
        """Return this process's items: each item belongs to exactly one process."""
        return items[self.rank :: self.world_size]

    def all_reduce(self, value: "Tensor") -> "Tensor":
        """Return the sum of all processes' tensors, computed in place."""
        if self.world_size > 1:
            with _collective() as distributed:
                distributed.all_reduce(value)
        return value

    def broadcast(self, value: Value) -> Value:
        """Return the value of rank 0; the other ranks' `value` is ignored."""
        values = [value]
        if self.world_size > 1:
            with _collective() as distributed:
                distributed.broadcast_object_list(values, src=0)
        return values[0]

    def on_rank_0(self, function: Callable[[], Value]) -> Value:
        """Return what `function` returns on rank 0, which alone calls it; every process raises its InputError."""
        if self.world_size == 1:
            return function()
        value: Any = None
        error: InputError | None = None
        if self.is_main:
            try:
                value = function()
            except InputError as caught:
                error = caught
        value, error = self.broadcast((value, error))
        if error is not None:
            raise error
        return cast(Value, value)

    def broadcast_tensors(self, tensors: "list[Tensor]") -> None:
        """Overwrite these tensors by those of rank 0."""
        if self.world_size > 1:
            with _collective() as distributed:
                for tensor in tensors:
                    distributed.broadcast(tensor, src=0)

    def all_gather(self, value: Value) -> list[Value]:
        """Return the values of all processes, ordered by rank."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        with _collective() as distributed:
            distributed.all_gather_object(values, value)
        return values


@functools.cache
def processes() -> Processes:
    """Join the job that torchrun's or accelerate's environment variables name; a single process without them.

    Raises InputError if the other processes cannot be reached.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    import torch
    from accelerate import PartialState

    local_count = int(os.environ.get("LOCAL_WORLD_SIZE", count))
    try:
        # The CPU, unless each process of this machine has a GPU of its own.
        state = PartialState(cpu=torch.cuda.device_count() < local_count)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"the job's processes cannot reach each other ({error_reason(error, 160)})") from None
    return Processes(state.process_index, state.num_processes, state.local_process_index, state.device.type)


def leave() -> None:
    """Leave the job at its end, so that no other process waits for this one."""
    if processes.cache_info().currsize and processes().world_size > 1:
        import torch.distributed

        if torch.distributed.is_initialized():
            with contextlib.suppress(RuntimeError):  # the others may have left already
                torch.distributed.destroy_process_group()


@contextlib.contextmanager
def _collective() -> Iterator[Any]:
    """Yield torch.distributed, and turn the loss of another process within the block into Interrupted.

    Imported here, since commands that only parse their words should not wait for PyTorch.
    """
    import torch.distributed

    try:
        yield torch.distributed
    except RuntimeError as error:
        hint = "what was saved is kept: the same command, or `resume`, continues with any number of processes"
        raise Interrupted(f"{GONE} ({error_reason(error, 100)}); {hint}") from None
