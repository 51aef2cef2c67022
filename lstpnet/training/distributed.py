"""The processes that train one model together: those that torchrun started, else this one alone.

Each process holds the same model and takes the same decisions: what depends on one process (its files, its clock, its
batch norm statistics) is measured by the first process, or gathered, and sent to all.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from dfer_data.errors import UsageError, WorkerError
from lstpnet.device import pick_device

Value = TypeVar("Value")
_LONGEST_WAIT = timedelta(hours=1)  # for another process that lives, as when the first one writes to a slow disk


@dataclass(frozen=True)
class Group:
    """The place of this process among those that train together."""

    rank: int = 0
    """Number of this process, from 0."""
    world_size: int = 1
    """Number of processes."""
    control: Any = None
    """torch's process group of decisions and small values, gloo; gradients take the default one."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports events for all."""
        return self.rank == 0

    def wrap(self, model: nn.Module, device: torch.device, *, uses_all: bool = True) -> nn.Module:
        """Return the model with gradients averaged over the processes.

        `uses_all`: whether each step uses every parameter that is trained; looking for the others takes time.
        """
        if self.world_size == 1:
            return model
        ids = [device.index or 0] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids, find_unused_parameters=not uses_all)

    def summed(self, values: Sequence[float]) -> list[float]:
        """Return the sum of each value over all processes."""
        if self.world_size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(tensor, group=self.control)
        return [float(value) for value in tensor.tolist()]

    def all_true(self, fact: bool) -> bool:
        """Return whether `fact` is true in every process."""
        return self.summed([float(fact)])[0] == self.world_size

    def from_first(self, make: Callable[[], Value]) -> Value:
        """Return, in every process, what `make` returns in the first one, which alone calls it.

        An error of `make` is raised in the first process, and as WorkerError in the others.
        """
        if self.world_size == 1:
            return make()
        if self.is_first:
            try:
                value = make()
            except BaseException as error:
                with contextlib.suppress(RuntimeError):  # another process may have ended already
                    self._sent_by_first((None, _words(error)))
                raise
            self._sent_by_first((value, ""))
            return value
        received: tuple[Value, str] = self._sent_by_first(None)
        if received[1]:
            raise WorkerError(f"the first process of this training failed: {received[1]}")
        return received[0]

    def gathered(self, make: Callable[[], Value]) -> list[Value]:
        """Return, in every process, what `make` returns in each of them, by rank.

        If it fails in one, that one raises the error, and the others WorkerError: none waits for ever.
        """
        if self.world_size == 1:
            return [make()]
        failure: Exception | None = None
        value: Value | None = None
        try:
            value = make()
        except Exception as error:
            failure = error
        results: list[Any] = [None] * self.world_size
        distributed.all_gather_object(results, (value, "" if failure is None else _words(failure)), group=self.control)
        if failure is not None:
            raise failure
        for rank, (_, words) in enumerate(results):
            if words:
                raise WorkerError(f"process {rank} of this training failed: {words}")
        return [result for result, _ in results]

    def share_buffers(self, model: nn.Module) -> None:
        """Give the model in every process the first one's buffers: batch norm statistics are each process's own."""
        if self.world_size == 1:
            return
        values = self.from_first(lambda: {name: buffer.detach().cpu() for name, buffer in model.named_buffers()})
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(values[name])

    def wait(self) -> None:
        """Wait until all processes reach this call."""
        if self.world_size > 1:
            distributed.barrier(group=self.control)

    def _sent_by_first(self, value: Any) -> Any:
        values = [value]
        distributed.broadcast_object_list(values, src=0, group=self.control, device=torch.device("cpu"))
        return values[0]


ALONE = Group()


def device_of_process(name: str | None = None) -> torch.device:
    """Return the device that this process trains on; with several processes on GPUs, the one of its local number.

    Opens no other GPU. Raises UsageError for a device that several processes cannot share, DferError if it is not
    available.
    """
    if _world_size() == 1:
        return pick_device(name)
    kind = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind.startswith("cuda:"):
        raise UsageError(
            f"--device {kind}: under torchrun each process takes the GPU with its local number; use --device cuda, and "
            f"CUDA_VISIBLE_DEVICES={kind.removeprefix('cuda:')} to choose GPUs"
        )
    if kind == "cuda" and torch.cuda.is_available():
        number, num_gpus = _local_rank(), torch.cuda.device_count()
        if number >= num_gpus:
            raise UsageError(
                f"process {number} of this machine has no GPU: there are {num_gpus}; use torchrun "
                f"--nproc-per-node {num_gpus}"
            )
        torch.cuda.set_device(number)  # before anything is computed, which would open the first GPU
        return pick_device(f"cuda:{number}")
    if kind not in ("cpu", "cuda"):
        raise UsageError(
            f"--device {kind}: several processes train together on cuda or cpu only; train without torchrun, or with "
            "--device cpu"
        )
    return pick_device(kind)


@contextlib.contextmanager
def joined_group(device: torch.device) -> Iterator[tuple[Group, torch.device]]:
    """Join the processes that torchrun started, if any; yields this process's group and device.

    Raises WorkerError in the block if another of the processes ends: at once with gloo, by torch's limit with nccl.
    UsageError if another program than torchrun has set WORLD_SIZE. Hold neither the group nor a model that it wrapped
    longer than the block.
    """
    world_size = _world_size()
    if world_size == 1:
        yield ALONE, device
        return
    _refuse_other_environment(world_size)
    # DistributedDataParallel would import it in the block: its default arguments then keep the group and its threads to
    # the end of the interpreter, which they can abort (SIGABRT; pytorch/pytorch#190489).
    importlib.import_module("torch.distributed.nn.functional")
    atexit.register(gc.collect)  # frees what a cycle holds, such as the traceback of Ctrl+C
    is_cuda = device.type == "cuda"
    if is_cuda:
        device = torch.device("cuda", _local_rank() if device.index is None else device.index)
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("nccl" if is_cuda else "gloo")
        control = distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)
        yield Group(distributed.get_rank(), world_size, control), device
    except RuntimeError as error:
        if not _is_lost_peer(error):
            raise
        raise WorkerError(
            f"another of the {world_size} processes of this training ended or does not answer; the reason is in its "
            "output; run the same command again to resume"
        ) from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _world_size() -> int:
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdecimal():
        raise UsageError(f"the environment has WORLD_SIZE = {text!r}, which is no number of processes: unset it")
    return int(text)


def _refuse_other_environment(world_size: int) -> None:
    """Raise UsageError if torchrun has not set what its processes need, as where a cluster sets WORLD_SIZE alone."""
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise UsageError(
            f"the environment has WORLD_SIZE = {world_size}, but not {', '.join(missing)}: start dfer with torchrun, "
            "which sets them, or unset WORLD_SIZE to train in one process"
        )


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _is_lost_peer(error: RuntimeError) -> bool:
    """Whether the error is of torch's communication; gloo raises plain RuntimeErrors that name its source files."""
    words = ("gloo", "Connection closed by peer", "Connection reset by peer")
    return isinstance(error, distributed.DistError) or any(word in str(error) for word in words)
