"""Save and load model weights: a safetensors file with a JSON file next to it, both written atomically."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_model
from torch import Tensor, nn

from dfer_data.errors import CorruptDataError
from dfer_data.storage.files import canonical_json, write_atomically
from dfer_data.storage.scratch_folder import scratch_folder
from lstpnet.errors import CheckpointError
from lstpnet.run_files import NEXT_STEP, FileFacts, Files, check_file, facts_of


def save_checkpoint(model: nn.Module, path: Path, *, facts: Mapping[str, Any]) -> Files:
    """Write `path` (.safetensors) and its facts (.json) next to it; a crash leaves the last good pair.

    Returns size and hash of both files by name.
    """
    return save_tensors(model.state_dict(), path, facts=facts)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, *, facts: Mapping[str, Any]) -> Files:
    """Write a model's state dict as `save_checkpoint` writes the model; returns what it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = {path: _safetensors(tensors, path.parent), path.with_suffix(".json"): canonical_json(dict(facts))}
    for target, content in contents.items():
        write_atomically(target, content)
    return {target.name: facts_of(content) for target, content in contents.items()}


def _safetensors(tensors: Mapping[str, Tensor], folder: Path) -> bytes:
    """Return tensors as safetensors; its own files are readable by their owner alone, whatever the umask."""
    with scratch_folder(folder, "weights") as work:
        path = work / "model.safetensors"
        save_model(_StateDict(tensors), str(path))
        return path.read_bytes()


class _StateDict(nn.Module):
    """A state dict for `save_model`, which takes a module and stores tensors that are held under two names once."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._tensors = tensors

    def state_dict(self, *args: Any, **options: Any) -> Any:
        """Return the tensors by name."""
        return dict(self._tensors)


def load_checkpoint(model: nn.Module, path: Path, *, facts: FileFacts | None = None) -> None:
    """Load every tensor of a model from a file that `save_checkpoint` wrote, which is read once.

    `facts`: size and hash that the file must have; None checks neither.
    Raises CorruptDataError for other bytes than `facts`, and CheckpointError for a missing, truncated or foreign file,
    tensors that do not fit, and numbers that are not finite.
    """
    try:
        if facts is not None and (num_bytes := path.stat().st_size) != facts.num_bytes:  # not read, however large
            raise CorruptDataError(
                f"{path} is damaged: it has {num_bytes} bytes, {facts.num_bytes} were written; {NEXT_STEP}"
            )
        tensors = load(check_file(path, path.read_bytes(), facts))
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}; train the run first, or name another file") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({error}); it is truncated or not a checkpoint"
        ) from error
    if faults := non_finite(tensors):
        raise CheckpointError(f"{path} holds weights that no training saves; train this run again with --force", faults)
    try:
        _load_whole(model, tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path} does not fit this recipe's network: {reason}") from error


def non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return a fault for the first five tensors that hold NaN or infinity."""
    names = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    more = [f"and {len(names) - 5} more"] if len(names) > 5 else []
    return [f"{name} holds NaN or infinity" for name in names[:5]] + more


def _load_whole(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fill a model; RuntimeError for tensors that are missing, left over or of another shape.

    Tensors that a model holds under several names are stored under one of them.
    """
    missing, unexpected = model.load_state_dict(dict(tensors), strict=False)
    places = {name: (tensor.data_ptr(), tensor.shape) for name, tensor in model.state_dict().items()}
    filled = {place for name, place in places.items() if name in tensors}
    missing = [name for name in missing if places[name] not in filled]
    if missing or unexpected:
        words = [f"missing: {', '.join(missing)}"] if missing else []
        raise RuntimeError("; ".join(words + ([f"unexpected: {', '.join(unexpected)}"] if unexpected else [])))
