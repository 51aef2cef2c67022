"""Measure the wall time of `dfer --help` and `dfer --version`: the start-up time of every command.

usage: python -m benchmarks.startup [--runs 10]
For comparison, it also times the same interpreter doing nothing. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Time the commands in turn, so that load on the machine affects all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    dfer = str(Path(sys.executable).with_name("dfer"))
    commands = {"python -c pass": [sys.executable, "-c", "pass"], "dfer --help": [dfer, "--help"]}
    commands["dfer --version"] = [dfer, "--version"]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    rows = {name: {"median": statistics.median(times), "max": max(times)} for name, times in seconds.items()}
    for name, row in rows.items():
        print(f"{name:16} median {row['median']:.3f} s, slowest {row['max']:.3f} s of {runs}")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
