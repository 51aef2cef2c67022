"""Check and time dfer on a GPU in one call of at most eight minutes; the figures are saved after each section.

    python -m benchmarks.gpu_check [--device cuda] [--seconds 470] [--json FILE] [--only floor,parity] [--tiny]

Exit code 1 if a section fails, the network's numbers differ too much from the CPU's, or a deterministic training or
a killed prepare does not end with equal bytes; 2 if the device does not exist.
`--tiny --device cpu` tests the check itself in a minute. A GPU machine without internet access needs the files that
`make gpu-wheels` puts into .whl/; `make gpu-check` uses them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.check import Check
from benchmarks.gpu.killing import killed
from benchmarks.gpu.network import floor, machine, parity
from benchmarks.gpu.pipeline import detection, loading, training, videos
from benchmarks.gpu.reproducibility import repeats
from benchmarks.gpu.steps import captured, compiled, kernels, steps
from dfer_data.errors import DferError
from lstpnet.device import pick_device

SECTIONS: Mapping[str, Callable[[Check], Any]] = {
    "machine": machine,
    "floor": floor,
    "parity": parity,
    "repeats": repeats,
    "steps": steps,
    "captured": captured,
    "training": training,
    "detection": detection,
    "videos": videos,
    "killed": killed,
    "kernels": kernels,
    "loading": loading,
    "compiled": compiled,
}
_LOGIT_LIMITS = {"f32": 1e-4, "tf32": 5e-3, "bf16": 5e-2}
_MIN_SECONDS = 20.0


def run(check: Check, names: list[str], *, path: Path | None) -> dict[str, Any]:
    """Run the sections in turn and save the figures after each; `faults` lists what failed."""
    figures: dict[str, Any] = {}
    faults: list[str] = []
    for name in names:
        if check.seconds_left < _MIN_SECONDS:
            faults.append(f"{name}: no time left")
            continue
        start = time.monotonic()
        try:
            figures[name] = SECTIONS[name](check)
        except Exception as error:  # the other sections still run
            traceback.print_exc()
            faults.append(f"{name}: {error!r}"[:300])
        figures.setdefault("seconds", {})[name] = round(time.monotonic() - start, 1)
        print(f"== {name}: {figures['seconds'][name]} s", flush=True)
        if path is not None:
            path.write_text(json.dumps(figures | {"faults": faults}, indent=1) + "\n")
    for name, row in figures.get("parity", {}).items():
        if not row["logits"] <= _LOGIT_LIMITS[name]:
            faults.append(f"logits in {name} differ from the CPU's by {row['logits']:.2g} of their norm")
    faults += [f"{what} has other numbers" for what, is_equal in figures.get("repeats", {}).items() if not is_equal]
    if not figures.get("killed", {}).get("has_the_bytes_of_an_undisturbed_run", True):
        faults.append("a killed prepare ended with other bytes")
    figures["faults"] = faults
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def main() -> None:
    """Run the sections, print the figures and write them to --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=470)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    stop_at = time.monotonic() + options.seconds
    try:
        device = pick_device(options.device)
    except DferError as error:
        print(f"not run: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    check = Check(device=device, stop_at=stop_at, is_tiny=options.tiny)
    figures = run(check, options.only.split(","), path=options.json)
    print(json.dumps(figures, indent=1)[-6000:])
    raise SystemExit(1 if figures["faults"] else 0)


if __name__ == "__main__":
    main()
