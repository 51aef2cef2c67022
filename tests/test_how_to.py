"""The command lines of how-to pages run as printed, in order, in one working folder with small datasets."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from dfer_cli.main import main
from dfer_data import open_dataset
from tests.dfer_data.crop_source import source_of
from tests.lstpnet.conftest import Done
from tests.test_docs import command_lines
from tests.workspace import ROOT

_NAMES = {"dfew-retinaface": "dfew-none", "ferv39k-none": "second"}
"""Prepared folder of a page -> that of the test, whose clips are crops."""
_PAGES = {
    "change-a-dataset": "own-none",
    "withdraw": "own-none",
    "take-clips-out": "dfew-none",
    "lock": "dfew-none",
    "audit": "dfew-none",
    "compare": "dfew-none",
    "skew": "dfew-none",
    "sweep": "dfew-none",
    "unattended": "dfew-none",
    "report": "dfew-none",
}
_LEFT_OUT = (
    "dfer train",  # minutes each; tests/cli/test_train.py
    "dfer sweep dfew --set attention=tce,eca,none --seeds 0,1,2 --fold all$",
    "dfer prepare ferv39k",  # other videos; tests/dfer_data/locking
    "dfer report runs/a runs/b",  # two systems; tests/lstpnet/reporting
    ".* --strict",  # another folder; tests/cli/test_lock.py
    ".* --by group",  # crops know no persons; tests/lstpnet/reporting/groups
    "dfer lock diff",  # two locks; tests/cli/test_lock.py
    ".* --identity",  # real faces; tests/dfer_data/auditing
    ".* --by (Sex|Age|Race)",  # CREMA-D's table, else as `--by sex`
)
"""Beginnings of lines that are not run here, and where else they are."""


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _own_videos(work: Path) -> None:
    """Write `videos` and prepare them as the pages' `own-retinaface`; everyone but `anna` has a name."""
    ids = [f"{label}/{number:04d}.mp4" for label in ("happy", "sad") for number in (12, 44, 45, 46, 47)]
    source_of(work / "videos", *ids).prepare(work / "prepared/own-retinaface")
    page = (ROOT / "docs/how-to/change-a-dataset.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```text\n(clip_id,label,group\n.*?)```", page, flags=re.DOTALL)
    names = [[clip_id, "", "anna" if clip_id == "happy/0044.mp4" else f"person-{clip_id}"] for clip_id in ids]
    _write_csv(work / "persons.csv", ("clip_id", "label", "group"), names)
    assert main(["relabel", "prepared/own-retinaface", "--from", "persons.csv"]) == 0
    (work / "labels.csv").write_text(block)
    (work / "dfer.toml").write_text('[prepare]\ndetector = "none"\nsize_px = 32\nworkers = 1\n')
    for name in ("runs", "reports"):
        (work / name).mkdir()


def _dfew(work: Path, crops: Path, run: Path, *, has_second: bool) -> None:
    """Copy the crops, their prepared folder and a run on it, and write the tables that the pages name."""
    for place in ("dfew-none", "second") if has_second else ("dfew-none",):
        shutil.copytree(crops, work / "prepared" / place)
    shutil.copytree(crops.parent / "source", work / "data/dfew")
    shutil.copytree(run, work / "runs/dfew-none/dfew/fold-3/seed-0")
    dataset = open_dataset(crops)
    tests = {
        fold: [clip for clip, part in dataset.fold(fold).items() if part == "test"] for fold in dataset.fold_names()
    }
    for name, fold in (("theirs", "3"), ("a", "1"), ("b", "2")):
        _write_csv(work / f"{name}.csv", ("clip_id", "prediction"), ((clip, "happy") for clip in tests[fold]))
    with_fold = ((clip, "happy", fold, "0") for fold, clips in tests.items() for clip in clips)
    _write_csv(work / "all.csv", ("clip_id", "prediction", "fold", "seed"), with_fold)
    people = ((clip, "fm"[number % 2], str(20 + number)) for number, clip in enumerate(dataset.clips["clip_id"]))
    _write_csv(work / "people.csv", ("clip_id", "sex", "age"), people)
    _write_csv(work / "decisions.csv", ("clip_a", "clip_b", "is_duplicate"), [("00001", "00002", "yes")])
    (work / "dfer.toml").write_text('[prepare]\ndetector = "none"\nworkers = 1\n')


def _words(line: str) -> list[str]:
    """Return the arguments of a line, without what the shell takes; a removal is confirmed."""
    for name, own in _NAMES.items():
        line = line.replace(name, own)
    line = line.replace('"$SLURM_ARRAY_TASK_ID"', "0").partition(" > ")[0]
    words = shlex.split(line)[1:]
    return [*words, "--yes"] if words[0] == "remove" and "--dry-run" not in words else words


@pytest.mark.parametrize("page", _PAGES)
def test_the_lines_of_a_page_run(
    page: str,
    crops: Path,
    plain: Done,
    exported_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if _PAGES[page] == "own-none":
        _own_videos(tmp_path)
    else:
        _dfew(tmp_path, crops, plain.folder, has_second=page == "audit")
        for ending in (".onnx", ".json"):
            shutil.copy(exported_run / f"last{ending}", tmp_path / f"paper{ending}")
    lines = [line for line in command_lines(f"how-to/{page}.md") if not any(re.match(out, line) for out in _LEFT_OUT)]
    assert lines
    failures = []
    for line in lines:
        capsys.readouterr()
        if (code := main(_words(line))) not in (0, 3):  # 3: two clips of the crops have no pictures
            failures.append(f"{line}: {code}: {capsys.readouterr().err}")
    assert "\n".join(failures) == ""
