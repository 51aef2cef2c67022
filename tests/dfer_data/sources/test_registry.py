"""Every registered adapter, from its own layout to a batch, a training and a report."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from dfer_cli.main import main
from dfer_data import open_dataset
from dfer_data.config import Folding, Request
from dfer_data.errors import AnnotationError, UsageError
from dfer_data.loading.clip_dataset import FaceClipDataset, collate
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.sources.catalog import SHAPES, catalog
from dfer_data.sources.registry import SOURCES
from dfer_data.synth.shapes import TREES
from lstpnet.runs import read_run
from tests.dfer_data.trees import make_tree
from tests.workspace import ROOT

NUM_TEST = {
    **{"dfew": 7, "ferv39k": 22, "afew": 7, "mafw": 11, "mafw-compound": 9, "mafw-multi": 9, "cremad": 6, "ravdess": 8},
    **{"enterface05": 6, "caer": 7, "meld": 7, "mer2023": 6, "csv": 7, "lists": 7},
}
"""Test clips of fold 1; `folder` and `mer2024` have folds by request only."""
CROPS = {"dfew": None, "ferv39k": None, "mafw": None, "mafw-compound": None, "mafw-multi": None, "lists": "Faces"}
"""Adapters whose crops are taken here, and from folders of which name; the others' videos go through a detector."""
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="session")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forest")


@pytest.fixture(scope="session", params=list(SOURCES))
def tree(request: pytest.FixtureRequest, forest: Path, heads_wheel: Path) -> tuple[str, Path]:
    return request.param, make_tree(request.param, forest, heads=heads_wheel)


@pytest.fixture(scope="session")
def prepared(tree: tuple[str, Path], forest: Path) -> tuple[str, Path]:
    """The tree prepared, as it is or with a detector that sees small pictures."""
    name, source = tree
    how = {"detector": "none", "crops": CROPS[name]} if name in CROPS else {"det_size_px": 160}
    folding = {"folder": Folding(3, "folder"), "mer2024": Folding(2, "clip")}.get(name)
    out = forest / "prepared" / name
    run_preparation(resolve_request(Request(dataset=name, source=source, folding=folding, **how)), out, num_workers=0)
    return name, out


pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_every_adapter_is_in_the_catalogue_and_in_the_documentation() -> None:
    assert list(catalog()) == list(SOURCES)
    assert set(SHAPES) == {"dfew", *TREES}
    text = (ROOT / "docs/reference/datasets.md").read_text(encoding="utf-8")
    for name, facts in catalog().items():
        assert f"`{name}`" in text
        assert facts.title in text


def test_a_tree_becomes_clips_with_names_folds_and_a_batch(prepared: tuple[str, Path]) -> None:
    name, root = prepared
    data = open_dataset(root)
    assert set(data.clips["status"]) == {"ok"}
    assert set(data.clips["label"]) == set(data.class_names)
    test = [clip_id for clip_id, split in data.fold("1").items() if split == "test"]
    assert len(test) == NUM_TEST.get(name, len(test)) > 0
    clips = FaceClipDataset(root, fold=1, split="train", size_px=32)
    frames, labels, clip_ids = collate([clips[0], clips[1]])
    assert frames.shape == (2, 16, 3, 32, 32)
    assert frames.float().std() > 5
    wanted = [data.class_names.index(data.clip(clip_id)["label"]) for clip_id in clip_ids]
    assert labels.tolist() == wanted


def test_a_tree_is_trained_on_and_reported(
    prepared: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    name, root = prepared
    monkeypatch.chdir(tmp_path)
    small = ["width_multiplier=0.125", "size_px=32", "epochs=1", "frame_epochs=0", "precision=f32"]
    settings = [word for setting in small for word in ("--set", setting)]
    assert main(["train", "--data", str(root), "--fold", "1", "--device", "cpu", "--yes", *settings]) == 0
    (run,) = tmp_path.glob("runs/*/*/fold-1/seed-0")
    rule = open_dataset(root).document.get("fold_rule")
    assert (f"fold 1 ({rule})" if rule else "official fold 1") in read_run(run).protocol
    capsys.readouterr()
    assert main(["report", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"][0]["dataset"] == name
    assert sum(row["n"] for row in document["scenes"]) == (22 if name == "ferv39k" else 0)
    if name == "ferv39k":
        clips = [clip for clip, split in open_dataset(root).fold("1").items() if split == "test"]
        Path("mine.csv").write_text("clip_id,prediction\n" + "".join(f"{clip},happy\n" for clip in clips))
        assert main(["report", "--predictions", "mine.csv", "--data", str(root), "--fold", "1"]) == 0
        assert "ferv39k, 22 scenes: mine.csv, fold 1: per cent" in capsys.readouterr().out
        assert main(["report"]) == 0
        out = capsys.readouterr().out
        assert "ferv39k, 22 scenes: demo last, fold 1, seed 0: per cent" in out
        assert [line.split()[:2] for line in out.splitlines() if line.startswith(("Action ", "War "))] == [
            ["Action", "1"],
            ["War", "1"],
        ]


def test_a_tree_nested_deeper_is_the_same(tree: tuple[str, Path], tmp_path: Path) -> None:
    name, source = tree
    if SOURCES[name].is_users_own:
        pytest.skip("ids of one's own data are paths")
    (tmp_path / "in" / "there").mkdir(parents=True)
    shutil.copytree(source, tmp_path / "in" / "there" / "again", copy_function=os.link)
    (tmp_path / "in/there/again/SYNTHETIC.json").unlink()
    layout = SOURCES[name].layouts[0] if name != "dfew" else "frames"
    here, there = (SOURCES[name].list(root, layout=layout) for root in (source, tmp_path))
    ids = [
        [(video.clip_id, video.label, video.num_bytes, video.group) for video in one.videos] for one in (here, there)
    ]
    assert ids[0] == ids[1]
    assert here.folds == there.folds


def test_an_empty_folder_says_what_was_looked_for(tree: tuple[str, Path], tmp_path: Path) -> None:
    name, _ = tree
    for layout in SOURCES[name].layouts:
        with pytest.raises(UsageError) as caught:
            SOURCES[name].list(tmp_path, layout=layout)
        message = str(caught.value)
        assert str(tmp_path) in message
        assert "\n" not in message
        if name in SHAPES:
            assert catalog()[name].obtain in message
            assert f"`dfer synth {name}`" in message
            assert all(place in message for place in catalog()[name].layouts)


def test_adapters_are_short() -> None:
    folder = ROOT / "dfer_data/sources/adapters"
    for path in folder.glob("*.py"):
        if path.stem not in ("dfew", "folder", "csv_table"):
            assert len(path.read_text().splitlines()) <= 80, path.stem


def test_the_guides_adapter_is_short_and_works(tmp_path: Path) -> None:
    text = (ROOT / "docs/how-to/own-dataset.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(code.splitlines()) < 60
    names: dict[str, Any] = {}
    exec(compile(code, "adapters.md", "exec"), names)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/labels.txt").write_text("4 happiness\r\n5 Sad\r\n6 sad")
    for number in (4, 5):
        (tmp_path / f"deep/{number}.mp4").touch()
    found = names["list_mine"](tmp_path, layout="videos")
    assert [(video.clip_id, video.label) for video in found.videos] == [
        ("00004", "happy"),
        ("00005", "sad"),
        ("00006", "sad"),
    ]
    assert found.folds == {"1": {"00004": "train", "00005": "test", "00006": "train"}}
    assert [video.clip_id for video in found.missing] == ["00006"]
    (tmp_path / "deep/labels.txt").write_text("4 joyful\nx sad\n5 sad\n5 sad\n")
    with pytest.raises(AnnotationError) as caught:
        names["list_mine"](tmp_path, layout="videos")
    assert len(caught.value.faults) == 3
