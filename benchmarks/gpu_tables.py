"""Write the GPU figures of README and docs from the results of benchmarks/gpu_check.py.

    python -m benchmarks.gpu_tables [--check]

A region between `<!-- gpu:NAME -->` and `<!-- /gpu -->` holds the text that REGIONS makes of the newest results file
with the sections it needs; run this after a file benchmarks/results/gpu-CARD-DATE.json is added. `--check` writes
nothing and exits with 1 where a region differs. The floor of a training step is the time in which the card multiplies
as much in bf16 as the step does, at the rate that the same card reached with large matrices.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
REGION = re.compile(r"(<!-- gpu:(?P<name>[a-z-]+) -->\n)(?P<text>.*?)(<!-- /gpu -->)", re.DOTALL)
_FILE = re.compile(r"gpu-(?P<card>.+)-(?P<date>\d{4}-\d{2}-\d{2})\.json")
_SIZES_PX = (224, 112, 64)
_STEPS: Mapping[str, str] = {
    "plain f32 (tf32 convolutions)": "papers' order of operations, TF32",
    "plain bf16": "papers' order of operations",
    "ours bf16, NCHW frames, two waits per step": "dfer's order, frames by channel, waits for the GPU",
    "+ one pass to bf16": "no waits, frames and weights by pixel, fast maximum, no dead biases, one pass to bf16",
    "+ first convolution over squares": "the same, the first convolution over squares of 2 x 2 pixels",
    "+ gates by products of matrices": "the same, the gates of the TCE by products of matrices",
    "+ f16 in place of bf16": "the same in f16",
    "+ compiled": "the same compiled",
    "+ compiled, CUDA graphs": "the same compiled into CUDA graphs",
    "+ whole step as a CUDA graph": "the same as one CUDA graph, not compiled",
}
"""Rung of the ladder -> words of the docs."""


@dataclass(frozen=True)
class Results:
    """The figures of one file."""

    card: str
    date: str
    figures: Mapping[str, Any]

    def rows(self, section: str) -> list[dict[str, Any]]:
        """Return the rows of a section, and those of further runs of it: keys such as `training, a second run`."""
        parts = [part for key, part in self.figures.items() if key == section or key.startswith(f"{section},")]
        return [row for part in parts if isinstance(part, list) for row in part]

    @property
    def machine(self) -> str:
        """Card, cores, date and version of PyTorch, as a sentence names them."""
        facts = self.figures["machine"]
        torch = facts["torch"].partition("+")[0]
        return f"one {facts['device']} with {facts['cores']} cores ({self.date}, PyTorch {torch})"


def results_files(folder: Path = RESULTS) -> list[Results]:
    """Return the results in `folder`, the newest first."""
    matches = [(match, path) for path in folder.glob("gpu-*.json") if (match := _FILE.fullmatch(path.name))]
    files = [Results(match["card"], match["date"], json.loads(path.read_bytes())) for match, path in matches]
    return sorted(files, key=lambda results: (results.date, results.card), reverse=True)


def newest(files: Sequence[Results], section: str, *, card: str | None = None) -> Results | None:
    """Return the newest results with figures in a section, of any card or of one."""
    return next((file for file in files if file.figures.get(section) and card in (None, file.card)), None)


def floor_share(files: Sequence[Results], card: str, *, size_px: int, clips_per_second: float) -> float | None:
    """Return the share of the floor that a rate of training reaches; None where the card's floor is not measured."""
    peak, ladder = newest(files, "floor", card=card), newest(files, "steps", card=card)
    steps = [row for row in ladder.rows("steps") if row["size_px"] == size_px and "tflops" in row] if ladder else []
    if peak is None or not steps:
        return None
    tflop_per_clip = steps[0]["tflops"] / steps[0]["clips_per_second"]
    return float(clips_per_second * tflop_per_clip / peak.figures["floor"]["matmul_tflops"])


def training(files: Sequence[Results]) -> str:
    """Return the table of `dfer train` by size, reading threads, cache and compilation."""
    results = newest(files, "training")
    if results is None:
        return _NOT_MEASURED
    runs: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in results.rows("training"):
        key = (row["size_px"], row["batch"], row["threads"], row.get("cache", "off"), bool(row.get("compile")))
        runs.setdefault(key, []).append(row)
    batch, clips = results.rows("training")[0]["batch"], results.rows("training")[0]["clips_per_epoch"]
    lines = [
        _paragraph(
            f"`dfer train` on {results.machine}: LSTPNet at full width, 16 frames, bf16, batches of {batch}, epochs of "
            f"{clips} made crops of 224 px; reading, checkpoints and states included. Two values are of two runs."
            + _floor_words(files, results.card)
        ),
        "",
        "| pictures | reading threads | `--cache` | `compile` | clips/s | share of the floor | waits for clips |",
        "|---|---|---|---|---|---|---|",
    ]
    for (size_px, _, threads, cache, compiles), rows in sorted(runs.items(), key=lambda item: _run_order(item[0])):
        rates = [row["clips_per_second"] for row in rows]
        shares = [floor_share(files, results.card, size_px=size_px, clips_per_second=rate) for rate in rates]
        waits = [row["waiting_share"] for row in rows]
        cells = (f"{size_px} px", threads, cache, "true" if compiles else "false")
        lines.append(_row(*cells, _joined(rates, _rate), _joined(shares, _percent), _joined(waits, _percent)))
    return "\n".join(lines)


def _run_order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    size_px, batch, threads, cache, compiles = key
    return -size_px, batch, compiles, cache != "off", threads


def steps(files: Sequence[Results]) -> str:
    """Return the table of training steps without reading, by rung of the ladder, batch and size."""
    results = newest(files, "steps")
    if results is None:
        return _NOT_MEASURED
    rates: dict[tuple[str, int], dict[int, float]] = {}
    for row in (row for section in ("steps", "compiled", "captured") for row in results.rows(section)):
        if "clips_per_second" in row and row["variant"] in _STEPS:
            rates.setdefault((row["variant"], row["batch"]), {})[row["size_px"]] = row["clips_per_second"]
    lines = [
        _paragraph(
            f"The network's step alone, in clips/s, on {results.machine}, bf16 where nothing else is written. In "
            "brackets: the share of the floor."
        ),
        "",
        "| what runs | batch | " + " | ".join(f"{size_px} px" for size_px in _SIZES_PX) + " |",
        "|---|---|" + "---|" * len(_SIZES_PX),
    ]
    order = list(_STEPS)
    for (variant, batch), by_size in sorted(rates.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        cells = []
        for size_px in _SIZES_PX:
            rate = by_size.get(size_px)
            share = rate and floor_share(files, results.card, size_px=size_px, clips_per_second=rate)
            cells.append("" if rate is None else _rate(rate) + (f" ({_percent(share)})" if share else ""))
        lines.append(_row(_STEPS[variant], batch, *cells))
    return "\n".join(lines)


def parity(files: Sequence[Results]) -> str:
    """Return how far logits and gradients are from the CPU's, by precision."""
    results = newest(files, "parity")
    if results is None:
        return _NOT_MEASURED
    lines = [
        _paragraph(f"Relative distance from float32 on the CPU, on {results.machine}, four clips of 224 px:"),
        "",
        "| precision | logits | gradients, median over the parameters |",
        "|---|---|---|",
    ]
    for name, row in results.figures["parity"].items():
        lines.append(_row(name, f"{row['logits']:.1e}", _percent(row["gradient_median"])))
    return "\n".join(lines)


def preparation(files: Sequence[Results]) -> str:
    """Return the tables of the detector alone and of `dfer prepare` end to end."""
    results = newest(files, "videos")
    if results is None or not results.figures.get("detection"):
        return _NOT_MEASURED
    detection, videos = results.figures["detection"], results.figures["videos"]
    differences = {
        name: row["px_from_onnxruntime"] for name, row in detection.items() if name.startswith("detect cuda")
    }
    lines = [
        _paragraph(
            f"On {results.machine}, sixteen frames at a time, every frame of 640 x 360 px videos. Distance: greatest "
            "of a landmark from onnxruntime's on the CPU, in pixels."
        ),
        "",
        "| what runs | frames/s | distance |",
        "|---|---|---|",
    ]
    for name, row in detection.items():
        if isinstance(row, dict):
            words = name.replace("detect cpu", "the detector alone, one CPU thread,")
            words = words.replace("detect cuda", "the detector alone, `--device cuda`,")
            distance = f"{differences[name]:.5f}" if name in differences else ""
            lines.append(_row(words, _rate(row["frames_per_second"]), distance))
    for name, row in videos.items():
        if "frames_per_second" in row:
            lines.append(_row(f"`dfer prepare`: {name}", _rate(row["frames_per_second"]), ""))
    return "\n".join(lines)


def kernels(files: Sequence[Results]) -> str:
    """Return where the kernels of an eager step of 224 px spend their time."""
    results = newest(files, "kernels")
    if results is None:
        return _NOT_MEASURED
    profile = results.figures["kernels"]["last eager rung"]
    spent = dict.fromkeys([*_KERNELS, _OTHER_KERNELS], 0.0)
    for name, milliseconds, _ in profile["top"]:
        spent[next((words for words, pattern in _KERNELS.items() if re.search(pattern, name)), _OTHER_KERNELS)] += (
            milliseconds
        )
    spent[_OTHER_KERNELS] += profile["ms"] - sum(spent.values())
    lines = [
        _paragraph(
            f"Kernels of one eager step of 32 clips of 224 px, on {results.machine}: {profile['ms']:.1f} ms in "
            f"{profile['launches']:,} launches, so no faster than {_rate(32_000 / profile['ms'])} clips/s whatever the "
            "rest of the trainer does."
        ),
        "",
        "| kernels | ms | share |",
        "|---|---|---|",
    ]
    for words, milliseconds in sorted(spent.items(), key=lambda item: -item[1]):
        lines.append(_row(words, f"{milliseconds:.1f}", _percent(milliseconds / profile["ms"])))
    return "\n".join(lines)


_KERNELS: Mapping[str, str] = {
    "batch norms": "batch_norm",
    "the stem's max pooling": "max_pool",
    "element by element, and sums": "elementwise|reduce_kernel",
    "convolutions and products among the longest kernels": "cutlass|xmma|gemm|conv",
}
"""Words of the docs -> pattern of the kernels' names."""
_OTHER_KERNELS = "convolutions, products and others that are shorter each"


_README_SIZE_PX = 224


def summary(files: Sequence[Results]) -> str:
    """Return the sentence of the README."""
    results = newest(files, "training")
    if results is None:
        return _NOT_MEASURED
    rows = results.rows("training")

    def best(*, cache: str, compiles: bool) -> str:
        chosen = (_README_SIZE_PX, cache, compiles)
        rates = [
            row["clips_per_second"]
            for row in rows
            if (row["size_px"], row.get("cache", "off"), bool(row.get("compile"))) == chosen
        ]
        return f"{_rate(max(rates))} clips/s" if rates else "not measured"

    return _paragraph(
        f"On {results.machine}, `dfer train` in bf16 at {_README_SIZE_PX} px, reading included: "
        f"{best(cache='off', compiles=False)}; compiled, with clips cached on the GPU: "
        f"{best(cache='device', compiles=True)}."
    )


REGIONS: Mapping[str, Callable[[Sequence[Results]], str]] = {
    "training": training,
    "steps": steps,
    "parity": parity,
    "kernels": kernels,
    "prepare": preparation,
    "summary": summary,
}
"""Name of a region -> what writes it."""
_NOT_MEASURED = "Not measured on a GPU."


def written(page: str, files: Sequence[Results]) -> str:
    """Return a page with every region written anew; raise KeyError for a region of an unknown name."""

    def region(match: re.Match[str]) -> str:
        return f"{match[1]}{REGIONS[match['name']](files)}\n{match[4]}"

    return REGION.sub(region, page)


def changed_pages(files: Sequence[Results]) -> Iterator[tuple[Path, str]]:
    """Yield each page whose regions differ from the results, with its new text."""
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        if (new := written(page, files)) != page:
            yield path, new


def _floor_words(files: Sequence[Results], card: str) -> str:
    peak = newest(files, "floor", card=card)
    if peak is None:
        return ""
    tflops = peak.figures["floor"]["matmul_tflops"]
    return (
        " The floor is the time of as many products in bf16 at the rate of large matrices on that card "
        f"({tflops:.0f} TFLOP/s, {peak.date})."
    )


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _row(*cells: object) -> str:
    return "|" + "|".join(f" {cell} " if str(cell) else " " for cell in cells) + "|"


def _joined(values: Sequence[Any], form: Callable[[Any], str]) -> str:
    return ", ".join(dict.fromkeys(form(value) for value in values if value is not None))


def _rate(value: float) -> str:
    return f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def main() -> None:
    """Write the regions, or with --check compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    is_check = parser.parse_args().check
    pages = list(changed_pages(results_files()))
    for path, text in pages:
        print(f"{path.relative_to(ROOT)} {'differs' if is_check else 'written'}")
        if not is_check:
            path.write_text(text, encoding="utf-8")
    raise SystemExit(1 if is_check and pages else 0)


if __name__ == "__main__":
    main()
