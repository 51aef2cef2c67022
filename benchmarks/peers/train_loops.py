"""Training loops that take turns, one epoch per turn; benchmarks/train.py runs them.

    python -m benchmarks.peers.train_loops LOOP WORKERS WORK SIZE_PX BATCH CLIPS [KEY=VALUE ...]

`ours` is dfer's trainer. `plain` follows papers' code: a DataLoader reads folders of JPEG files with PIL into float32;
LSTPNet is computed as in its authors' code, with cross-entropy and SGD, all in float32. `WORK` holds clips.json and
prepared.json from benchmarks/loader.py. `KEY=VALUE` replaces a setting of the recipe of `ours`. Each line on stdin
starts an epoch. `seconds` is the time of the epoch; `step_seconds` and `step_cpu_seconds` (of all threads) of `ours`
are means over its steps but the first, without saves.
"""

from __future__ import annotations

import dataclasses
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

CPU = torch.device("cpu")


class FolderOfFrames(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Clips as folders of JPEG files: each read draws eight pairs of neighbouring frames."""

    def __init__(self, work: Path, *, size_px: int, num_clips: int) -> None:
        self._work, self._size_px = work, size_px
        self._clips = [paths for paths, _ in json.loads((work / "clips.json").read_text())][:num_clips]

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self._clips)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return (16, 3, size, size) float32 in 0..1, randomly mirrored, and a label."""
        import PIL.Image

        paths = self._clips[index]
        longest = (len(paths) - 1) // 8
        offsets = [k * longest + random.randrange(longest) for k in range(8)]
        images = [PIL.Image.open(self._work / paths[i + j]).convert("RGB") for i in offsets for j in (0, 1)]
        size = (self._size_px, self._size_px)
        resized = [np.asarray(image.resize(size, PIL.Image.Resampling.BILINEAR)) for image in images]
        stacked = torch.from_numpy(np.concatenate(resized, axis=2)).permute(2, 0, 1).contiguous().float().div(255)
        frames = stacked.reshape(16, 3, *size)
        return frames.flip(-1) if random.random() < 0.5 else frames, index % 7


def plain(work: Path, *, num_workers: int, size_px: int, batch: int, num_clips: int, turn: Callable[..., None]) -> None:
    """Train as papers' code does."""
    from benchmarks.peers.plain_lstpnet import plain_lstpnet

    torch.manual_seed(0)
    model = plain_lstpnet(7).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    data = FolderOfFrames(work, size_px=size_px, num_clips=num_clips)
    loader = torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True, num_workers=num_workers)
    while True:
        turn_start = time.perf_counter()
        waiting, start = 0.0, turn_start
        for frames, labels in loader:
            waiting += time.perf_counter() - start
            loss = functional.cross_entropy(model(frames), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            start = time.perf_counter()
        turn(time.perf_counter() - turn_start, waiting)


def ours(
    work: Path, *, size_px: int, batch: int, num_clips: int, turn: Callable[..., None], changes: dict[str, Any]
) -> None:
    """Train with dfer's trainer; it writes checkpoints and state, but their time is not counted."""
    from lstpnet.recipe_files import resolve_recipe
    from lstpnet.training.events import EpochDone
    from lstpnet.training.experiment import make_experiment
    from lstpnet.training.initial_model import initial_model
    from lstpnet.training.trainer import fit

    settings = {"size_px": size_px, "batch_size": batch, "frame_epochs": 0, "epochs": 1000, "optimizer": "sgd"}
    settings |= {"learning_rate": 1e-4, "weight_decay": 1e-4, "schedule": "step", "label_smoothing": 0.0}
    settings |= changes
    facts = json.loads((work / "prepared.json").read_text())
    experiment = make_experiment(Path(facts["root"]), resolve_recipe("dfew", overrides=settings), fold=1, seed=0)
    experiment = dataclasses.replace(experiment, train_ids=tuple(facts["clip_ids"][:num_clips]))

    times: list[tuple[float, float]] = []

    def on_step(step: object) -> None:
        times.append((time.perf_counter(), time.process_time()))

    def on_event(event: EpochDone) -> None:
        (start, cpu_start), (stop, cpu_stop), num_steps = times[0], times[-1], max(1, len(times) - 1)
        facts = {"step_seconds": (stop - start) / num_steps, "step_cpu_seconds": (cpu_stop - cpu_start) / num_steps}
        times.clear()
        turn(event.seconds, event.waiting_seconds, **facts)

    model = initial_model(experiment, init=None)[0]
    with tempfile.TemporaryDirectory() as folder:
        fit(experiment, model, folder=Path(folder), device=CPU, on_event=on_event, on_step=on_step)


def turn(seconds: float, waiting_seconds: float, **facts: float) -> None:
    """Print time and memory of the epoch, then wait for the next command."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak_mib = int(status["VmHWM"].split()[0]) / 1024
    facts |= {"seconds": seconds, "waiting_seconds": waiting_seconds, "peak_mib": peak_mib}
    print(json.dumps(facts | {"cpu_seconds": time.process_time()}), flush=True)
    if not sys.stdin.readline():
        raise SystemExit


def _value(text: str) -> Any:
    """Return a number or true or false as JSON has it, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> None:
    """Wait for the first turn, then train."""
    name, num_workers, work, *numbers = sys.argv[1:]
    size_px, batch, num_clips = map(int, numbers[:3])
    changes = {key: _value(text) for key, _, text in (word.partition("=") for word in numbers[3:])}
    sizes: dict[str, Any] = {"size_px": size_px, "batch": batch, "num_clips": num_clips, "turn": turn}
    print("ready", flush=True)
    if not sys.stdin.readline():
        return
    if name == "ours":
        ours(Path(work), **sizes, changes=changes)
    else:
        plain(Path(work), num_workers=int(num_workers), **sizes)


if __name__ == "__main__":
    main()
