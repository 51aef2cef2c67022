"""Compare all networks on the demo dataset: the recipe `demo-networks`, one fold, three seeds, the report.

    python -m benchmarks.demo_networks [--work DIR] [--models all] [--fold 3] [--seeds 0,1,2] [--jobs 2]
                                       [--docs FILE.md]

It runs the lines of `dfer sweep demo-networks --print`, `--jobs` at a time with one thread each; finished runs of an
earlier call are kept. `--work` holds the demo dataset and the runs, and missing parts are made; by default it is a
temporary folder. `--docs` replaces the block between the two marks in that page by the tables.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.demo_scores import dfer, prepare_demo

RECIPE, RUNS = "demo-networks", "networks"
BASELINE = f"{RECIPE},model=frame-mean"
MARKS = ("<!-- demo-networks -->", "<!-- /demo-networks -->")
_DFER = Path(sys.executable).with_name("dfer")
_TABLES = ("side by side", "paired tests")


def sweep_lines(work: Path, options: argparse.Namespace) -> list[str]:
    """Return the command of each training."""
    sweep = [str(_DFER), "sweep", RECIPE, "--data", "prepared/dfew-retinaface", "--device", "cpu", "--print"]
    sweep += ["--fold", options.fold, "--seeds", options.seeds, "--set", f"model={options.models}", "--out", RUNS]
    return subprocess.run(sweep, cwd=work, check=True, capture_output=True, text=True).stdout.splitlines()


def train(line: str, work: Path) -> None:
    """Run one training with one thread; raise with its output if it fails."""
    command = [str(_DFER), *shlex.split(line)[1:], "--threads", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{line}: {done.stderr}")


def chosen_tables(markdown: str) -> str:
    """Return the sections of a report that compare systems, without the others."""
    sections = markdown.split("### ")[1:]
    return "\n".join("#### " + text.rstrip() + "\n" for text in sections if text.startswith(_TABLES))


def put(page: Path, tables: str) -> None:
    """Replace what is between the marks in a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    page.write_text(f"{before}{MARKS[0]}\n\n{tables}\n{MARKS[1]}{after}", encoding="utf-8")


def main() -> None:
    """Train all, print the tables, and put them into a page if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--models", default="all")
    parser.add_argument("--fold", default="3")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--docs", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        prepare_demo(work)
        lines, start = sweep_lines(work, options), time.monotonic()
        with ThreadPoolExecutor(options.jobs) as pool:
            for number, _ in enumerate(pool.map(lambda line: train(line, work), lines), start=1):
                print(f"{number} of {len(lines)} runs, {time.monotonic() - start:.0f} s", flush=True)
        baseline = f" --baseline {BASELINE}" if any(BASELINE in line for line in lines) else ""
        dfer(f"report --runs {RUNS} --out tables.md{baseline}", work)
        tables = chosen_tables((work / "tables.md").read_text(encoding="utf-8"))
        print(tables)
        if options.docs:
            put(options.docs, tables)


if __name__ == "__main__":
    main()
