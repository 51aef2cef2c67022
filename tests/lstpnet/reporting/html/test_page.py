"""The HTML report without a browser: its figures, what it holds of elsewhere, what it needs."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from sklearn import metrics as reference

import dfer_data
from dfer_data.errors import CorruptDataError
from lstpnet.dataset_identity import clips_key
from lstpnet.finished_runs import Run, find_runs, load_runs
from lstpnet.predictions import Predictions
from lstpnet.reporting.build import build_report
from lstpnet.reporting.html import clip_table as drilldown
from lstpnet.reporting.html.filmstrip import FRAME_PX
from lstpnet.reporting.html.page import to_html
from lstpnet.runs import CONFIG_NAME
from tests.crops import MISSING
from tests.lstpnet.conftest import Done, without_hashes
from tests.lstpnet.reporting.random_runs import NAMES, one, write_folds
from tests.lstpnet.small_run import run_info

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "\"><img src=x onerror='window.hacked = 2'>",
    "{{ 7 * 7 }}{% include 'x' %}",
    "<!--<script>",
    "&lt;b&gt; & <style>*{display:none}</style>",
    "\u202egpj.exe",
    "javascript:window.hacked=3//\\'\"`${1}",
)
"""Names of classes and clips that a page must show and nothing else."""


def hostile_run(folder: Path) -> Run:
    """A run whose every name is hostile."""
    rng = np.random.default_rng(0)
    labels = tuple(HOSTILE[i % 7] for i in range(70))
    clip_ids = tuple(f"{label}/{i:03d}" for i, label in enumerate(labels))
    logits = rng.normal(size=(70, 7)).astype(np.float32)
    part = Predictions(clip_ids, labels, logits, np.ones(70, np.bool_), "last")
    info = run_info(
        prepared=HOSTILE[1],
        dataset_sha256=HOSTILE[0],
        recipe=HOSTILE[0],
        class_names=HOSTILE,
        n_train=1,
        protocol="; ".join(HOSTILE),
    )
    return Run(folder / HOSTILE[1].replace("/", "_"), info, (part,))


def page_of(root: Path, **options: Any) -> str:
    runs, unfinished = load_runs(find_runs(root))
    return to_html(build_report(runs, unfinished), **options)


def clip_data(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="clip-data">(.*?)</script>', page, flags=re.DOTALL)
    return dict(json.loads(text))


@pytest.fixture(scope="module")
def with_pictures(plain: Done, crops: Path) -> str:
    dataset = dfer_data.open_dataset(crops)
    return page_of(plain.folder, datasets=[dataset])


def test_the_clips_in_the_page_give_the_figures_of_the_report(tmp_path: Path) -> None:
    root = write_folds(tmp_path)
    data = clip_data(page_of(root))
    names = ["dfew_100% last seed 0", "dfew_100% last seed 1", "dfew_100% best seed 0", "dfew_100% best seed 1"]
    assert [view["name"] for view in data["views"]] == names
    (clips,) = data["datasets"]
    for view, (checkpoint, seed) in zip(
        data["views"], (("last", 0), ("last", 1), ("best", 0), ("best", 1)), strict=True
    ):
        for fold in (1, 2, 3):
            table = one(root, fold, seed, checkpoint).set_index("clip_id")
            mine = [clip for clip in view["clips"] if clip[1] == fold]
            assert [clips["ids"][clip[0]] for clip in mine] == list(table.index)
            labels = [clips["classes"][clips["labels"][clip[0]]] for clip in mine]
            guesses = [clips["classes"][clip[2]] for clip in mine]
            assert reference.accuracy_score(labels, guesses) == reference.accuracy_score(table["label"], table["guess"])
            assert [bool(clip[3]) for clip in mine] == list(table["has_face"])
            logits = np.stack(list(table["logits"])).astype(float)
            shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            assert np.abs(np.array([clip[4] for clip in mine]) - 1000 * shares).max() <= 0.5 + 1e-9


def test_the_page_names_no_address_and_no_other_file(with_pictures: str) -> None:
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!#|data:)", with_pictures)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket|import\(", with_pictures)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', with_pictures)
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe" not in policy


def test_hostile_names_are_text(tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    page = to_html(build_report([run]))
    assert len(re.findall(r"<script", page)) == 3  # the clips, the size of a filmstrip, the page's own
    assert "<img src=x" not in page
    assert "<!--" not in page
    assert "{{ 7 * 7 }}" in page
    assert page.count("<style") == 1
    (clips,) = clip_data(page)["datasets"]
    assert clips["classes"] == list(HOSTILE)
    assert clips["ids"] == list(run.predictions[0].clip_ids)


def test_filmstrips_show_the_test_frames_in_order(with_pictures: str, crops: Path, plain: Done) -> None:
    (clips,) = clip_data(with_pictures)["datasets"]
    strips = dict(re.findall(r'id="strip-0-(\d+)-16">([^<]*)</script>', with_pictures))
    assert {clips["ids"][int(key)] for key in strips} == set(plain.experiment.seen_test_ids)
    assert f"{MISSING[0]:05d}" in clips["ids"]
    for key, text in strips.items():
        picture = simplejpeg.decode_jpeg(base64.b64decode(text)).astype(int)
        assert picture.shape == (2 * FRAME_PX, 8 * FRAME_PX, 3)
        frames = dfer_data.open_dataset(crops).read_clip(clips["ids"][int(key)], size_px=FRAME_PX)
        for number, frame in enumerate(frames):
            top, left = FRAME_PX * (number // 8), FRAME_PX * (number % 8)
            shown = picture[top : top + FRAME_PX, left : left + FRAME_PX].mean(axis=(0, 1))
            assert np.abs(shown - frame.mean(axis=(1, 2))).max() < 6


def test_of_too_many_clips_the_confident_errors_are_shown(crops: Path, plain: Done) -> None:
    dataset = dfer_data.open_dataset(crops)
    page = page_of(plain.folder, datasets=[dataset], max_filmstrips=2)
    data = clip_data(page)
    labels = data["datasets"][0]["labels"]
    made = [clip for clip in data["views"][0]["clips"] if clip[3]]
    made.sort(key=lambda clip: (clip[2] == labels[clip[0]], -max(clip[4])))
    assert re.findall(r'id="strip-0-(\d+)-16"', page) == [str(clip[0]) for clip in made[:2]]
    assert f"filmstrips of 2 of {len(made)} clips: confident errors first" in page


def test_a_network_of_several_labels_shows_the_probability_of_each_label(
    plain: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, _ = load_runs([plain.folder])
    report = build_report(runs)
    shown = [clip[4] for clip in drilldown.drilldown_of(report.systems, report.runs).views[0].clips]
    assert {sum(shares) in range(995, 1006) for shares in shown} == {True}
    monkeypatch.setattr(drilldown, "read_settings", lambda run: {"targets": "labels"})
    each = [clip[4] for clip in drilldown.drilldown_of(report.systems, report.runs).views[0].clips]
    parts = [part for part in report.runs[0].parts if part.checkpoint == "last" and not part.control]
    logits = parts[0].logits
    assert logits is not None
    has_face, wide = parts[0].has_face[:, None], logits.astype(np.float64)
    expected = np.where(has_face, 1 / (1 + np.exp(-wide)), np.exp(wide))  # the prior is the log of a share
    assert not has_face.all()
    assert np.abs(np.array(each) - 1000 * expected).max() <= 0.5


def test_filmstrips_stop_where_the_page_would_grow_too_large(crops: Path, plain: Done) -> None:
    dataset = dfer_data.open_dataset(crops)
    runs, _ = load_runs([plain.folder])
    report = build_report(runs)
    found = drilldown.drilldown_of(report.systems, report.runs)
    datasets = {clips_key(dataset): dataset}
    every, _ = drilldown.filmstrips(found, datasets)
    sizes = [len(strip) for strip in every.values()]
    some, notes = drilldown.filmstrips(found, datasets, max_bytes=sum(sizes[:3]) - 1)
    assert list(some) == list(every)[:3]
    assert notes == [f"filmstrips of 3 of {len(every)} clips: confident errors first"]


def test_a_damaged_clip_has_no_filmstrip_and_the_page_is_made(damaged_crops: Path, plain: Done) -> None:
    dataset = dfer_data.open_dataset(damaged_crops)
    runs, _ = load_runs([plain.folder])
    part = runs[0].predictions[0]
    run = replace(runs[0], predictions=(replace(part, clip_ids=("00001", *part.clip_ids[1:])),))
    page = to_html(build_report([run]), datasets=[dataset])
    assert "no filmstrip of 00001: " in page


def test_on_another_machine_the_run_folder_alone_gives_the_page_and_every_table(plain: Done, tmp_path: Path) -> None:
    shutil.copytree(plain.folder, tmp_path / "fold-3/seed-0", ignore=shutil.ignore_patterns("checkpoints", "*.png"))
    code = """
import json, sys
from pathlib import Path
from lstpnet.reporting.html.page import to_html
from lstpnet.reporting.build import build_report
from lstpnet.reporting.formats import RENDERERS
from lstpnet.finished_runs import find_runs, load_runs
runs, unfinished = load_runs(find_runs(Path(sys.argv[1])))
report = build_report(runs, unfinished)
texts = {name: render(report) for name, render in RENDERERS.items()} | {"html": to_html(report)}
print(json.dumps({"war": report.rows[0].war, "texts": texts, "torch": "torch" in sys.modules}))
"""
    line = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["torch"] is False
    assert found["war"] == plain.results[0]["war"]
    for name, text in found["texts"].items():
        assert (f"{100 * found['war']:.2f}" if name in ("md", "latex", "html") else str(found["war"])) in text
    assert '<img class="curves" src="data:image/png;base64,' in found["texts"]["html"]
    assert "is not on this machine" in found["texts"]["html"]


def test_damaged_metrics_are_named(plain: Done, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(plain.folder, tmp_path / "fold-3/seed-0"))
    (folder / "metrics.jsonl").write_text('{"loss": 1')
    with pytest.raises(CorruptDataError, match=r"metrics\.jsonl is damaged"):
        page_of(tmp_path)
    (folder / "metrics.jsonl").unlink()
    with pytest.raises(CorruptDataError, match=r"metrics\.jsonl is missing"):
        page_of(tmp_path)
    (without_hashes(folder) / CONFIG_NAME).unlink()
    assert "Learning curves" not in page_of(tmp_path)


def test_without_runs_the_published_figures_and_the_next_command_are_there() -> None:
    page = to_html(build_report([]))
    assert "<code>dfer demo</code>" in page
    assert "71.16" in page
    assert 'id="clips"' not in page


def test_a_card_shows_the_interval_of_the_mean(tmp_path: Path) -> None:
    root = write_folds(tmp_path, folds=(1, 2), seeds=(0,), checkpoints=("last",))
    runs, _ = load_runs(find_runs(root))
    report = build_report(runs)
    (mean,) = [row for row in report.rows if row.fold == "mean"]
    assert mean.war_interval is not None
    low, high = mean.war_interval["clips"].low, mean.war_interval["clips"].high
    page = to_html(report)
    assert f"95 %: WAR {100 * low:.2f} to {100 * high:.2f}" in page
    assert "clips treated as independent; film membership unknown; a lower bound of the uncertainty" in page
    assert len(NAMES) == len(mean.recall)
