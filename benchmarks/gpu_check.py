"""What a GPU does with dfer: clips a second of training and reading, lower precision and the CPU's numbers beside.

    python -m benchmarks.gpu_check [--device cuda] [--size 224] [--batch 16] [--steps 20] [--json FILE]

Ends with exit code 1 if a figure that is asked of the device is missed, 2 where there is no such device; `--device cpu`
tries the check itself. Takes a few minutes; needs no dataset but tiny crops that it makes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
from torch import Tensor
from torch.nn import functional

from dfer_data.dataset import FaceClipDataset
from dfer_data.errors import DferError
from dfer_data.loader import ClipLoader
from dfer_data.prepare import Request, prepare, resolve
from lstpnet.device import num_threads, pick_device
from lstpnet.feed import Waiting, on_device
from lstpnet.inputs import normalised
from lstpnet.model import LSTPNet

_SAME_F32 = 1e-3  # greatest difference of logits to the CPU's, in their standard deviation
_SAME_BF16 = 0.1
_NUM_CLIPS, _NUM_FRAMES, _CLASSES = 35, 24, 7


def write_crops(root: Path) -> Path:
    """Write DFEW's tree of crops with smooth colours, 224 x 224, and prepare it as it is."""
    rng = np.random.default_rng(0)
    for number in range(1, _NUM_CLIPS + 1):
        folder = root / "source/Clip/clip_224x224" / f"{number:05d}"
        folder.mkdir(parents=True)
        coarse = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8).repeat(28, 0).repeat(28, 1)
        for index in range(_NUM_FRAMES):
            image = np.ascontiguousarray(np.roll(coarse, 3 * index, axis=1))
            (folder / f"{index + 1}.jpg").write_bytes(simplejpeg.encode_jpeg(image, quality=95))
    for fold in range(1, 6):
        for split in ("train", "test"):
            numbers = [n for n in range(1, _NUM_CLIPS + 1) if (n % 5 + 1 == fold) == (split == "test")]
            path = root / "source/EmoLabel_DataSplit" / f"{split}(single-labeled)" / f"set_{fold}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("video_name,label\n" + "".join(f"{n},{n % _CLASSES + 1}\n" for n in numbers))
    out = root / "dfew-none"
    prepare(resolve(Request(dataset="dfew", source=root / "source", detector="none")), out, num_workers=0)
    return out


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def logits(model: LSTPNet, clips: Tensor, device: torch.device, *, dtype: torch.dtype | None = None) -> Tensor:
    """Return the logits of clips, computed on `device`, on the CPU in float32."""
    model = model.to(device).eval()
    with torch.inference_mode(), torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        found: Tensor = model(clips.to(device))
    return found.float().cpu()


def agreement(device: torch.device, *, size_px: int) -> dict[str, float]:
    """Return the greatest differences of logits to the CPU's in float32, in standard deviations of these."""
    torch.manual_seed(0)
    model, clips = LSTPNet(_CLASSES), torch.rand(4, 16, 3, size_px, size_px)
    wanted = logits(model, clips, torch.device("cpu"))
    scale = float(wanted.std())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    found = {"f32": logits(model, clips, device), "bf16": logits(model, clips, device, dtype=torch.bfloat16)}
    return {name: float((other - wanted).abs().max()) / scale for name, other in found.items()}


def training(
    data: Path, device: torch.device, *, size_px: int, batch: int, steps: int, dtype: torch.dtype | None
) -> dict[str, float]:
    """Return clips a second of whole steps from shards, the share of waiting, the greatest memory on the device."""
    torch.manual_seed(0)
    model = LSTPNet(_CLASSES).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    dataset = FaceClipDataset(data, fold=1, sampling="train", size_px=size_px)
    threads = num_threads(device)
    loader = ClipLoader(dataset, batch_size=batch, num_threads=threads, pins=device.type == "cuda")
    waiting, seconds, num_clips, done, epoch = Waiting(), 0.0, 0, 0, 0
    while done < steps + 2:
        epoch += 1
        start = time.perf_counter()
        for frames, labels, _ in waiting.timed(on_device(loader.epoch(epoch), device)):
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                found = model(normalised(frames, norm="none"))
            loss = functional.cross_entropy(found.float(), labels)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            loss.item()
            done += 1
            if done == 2:  # the first two steps warm up
                synchronise(device)
                start, num_clips = time.perf_counter(), 0
                waiting.taken()
            elif done > 2:
                num_clips += len(labels)
            if done == steps + 2:
                break
        synchronise(device)
        seconds += time.perf_counter() - start if done > 2 else 0.0
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    return {
        "clips_per_second": num_clips / seconds,
        "waiting_share": waiting.taken() / seconds,
        "peak_device_mib": peak,
    }


def loading(data: Path, device: torch.device, *, size_px: int, batch: int) -> float:
    """Return clips a second that reach the device when nothing is computed."""
    dataset = FaceClipDataset(data, fold=1, sampling="train", size_px=size_px)
    loader = ClipLoader(dataset, batch_size=batch, num_threads=max(1, num_threads(device)), pins=device.type == "cuda")
    for _ in on_device(loader.epoch(0), device):
        pass
    start, num_clips = time.perf_counter(), 0
    for epoch in (1, 2, 3, 4, 5):
        num_clips += sum(len(labels) for _, labels, _ in on_device(loader.epoch(epoch), device))
    synchronise(device)
    return num_clips / (time.perf_counter() - start)


def check(device: torch.device, *, size_px: int, batch: int, steps: int) -> dict[str, Any]:
    """Return all figures, and under `faults` those that a working device would not show."""
    with tempfile.TemporaryDirectory() as folder:
        data = write_crops(Path(folder))
        sizes = {"size_px": size_px, "batch": batch}
        found: dict[str, Any] = {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "torch": torch.__version__,
            **sizes,
            "difference_to_cpu": agreement(device, size_px=size_px),
            "loader_clips_per_second": loading(data, device, **sizes),
            "train_f32": training(data, device, steps=steps, dtype=None, **sizes),
            "train_bf16": training(data, device, steps=steps, dtype=torch.bfloat16, **sizes),
        }
    limits = {"f32": _SAME_F32, "bf16": _SAME_BF16}
    found["faults"] = [
        f"logits in {name} differ from the CPU's by {found['difference_to_cpu'][name]:.2g} standard deviations"
        for name, limit in limits.items()
        if not found["difference_to_cpu"][name] <= limit
    ]
    return found


def main() -> None:
    """Print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    try:
        device = pick_device(options.device)
    except DferError as error:
        print(f"not run: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    found = check(device, size_px=options.size, batch=options.batch, steps=options.steps)
    print(json.dumps(found, indent=2))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    raise SystemExit(1 if found["faults"] else 0)


if __name__ == "__main__":
    main()
