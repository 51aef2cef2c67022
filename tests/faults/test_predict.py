"""`dfer predict` is killed, stopped, filled up and given bad videos: what is done is kept, and the rest goes on."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pandas as pd
import psutil
import pytest
from onnx import TensorProto, helper

from dfer_cli.main import main
from lstpnet.prediction.finished_videos import FinishedVideos
from tests.dfer_data.tiny import real_pictures, write_video

Capture = pytest.CaptureFixture[str]
NAMES = ("a.mp4", "b.mp4", "c.mp4", "d.mp4")
_KILL_ITSELF = """
import os, signal, sys
from dfer_cli.main import main
from lstpnet.prediction.finished_videos import FinishedVideos
add, calls = FinishedVideos.add, []
def add_and_die(self, *values):
    add(self, *values)
    calls.append(values)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.{signal})
FinishedVideos.add = add_and_die
sys.exit(main())
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that says `dark` or `bright`, as `dfer model export` of dfer 0.1 would have written it."""
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    axes = helper.make_tensor("axes", TensorProto.INT64, [4], [1, 2, 3, 4])
    column = helper.make_tensor("column", TensorProto.INT64, [2], [-1, 1])
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [1, 2], [-1.0, 1.0])
    nodes = [
        helper.make_node("ReduceMean", ["clips", "axes"], ["means"], keepdims=0),
        helper.make_node("Reshape", ["means", "column"], ["mean"]),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
    ]
    clips = helper.make_tensor_value_info("clips", TensorProto.FLOAT, ["b", "t", 3, "h", "w"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 2])
    graph = helper.make_graph(nodes, "brightness", [clips], [logits], [axes, column, weights])
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    facts = {"format": "dfer-model", "format_version": 1, "class_names": ["dark", "bright"], "size_px": 32}
    facts |= {"sampler": "uniform", "short": "edge", "input_norm": "none"}
    path.with_suffix(".json").write_text(json.dumps(facts))
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, real_videos: dict[str, Path]) -> Path:
    """Four videos of one face."""
    folder = tmp_path_factory.mktemp("videos")
    images = real_pictures(real_videos["single_face.mp4"], stop=40)
    for number, name in enumerate(NAMES):
        write_video(folder / name, images[6 * number :][:16])
    return folder


def command(videos: Path, model: Path, csv: Path, *options: str) -> list[str]:
    return ["predict", str(videos), "--model", str(model), "--csv", str(csv), "--device", "cpu", *options]


@pytest.fixture(scope="module")
def expected(videos: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The CSV of an undisturbed run."""
    csv = tmp_path_factory.mktemp("expected") / "p.csv"
    assert main(command(videos, model, csv, "--workers", "1")) == 0
    assert [path.name for path in csv.parent.iterdir()] == ["p.csv"]
    table = pd.read_csv(csv)
    assert [Path(name).name for name in table["video"]] == list(NAMES)
    return csv.read_bytes()


def count_predictions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The videos that are predicted from now on."""
    predicted: list[str] = []
    add = FinishedVideos.add

    def count(self: FinishedVideos, video: Any, document: Any) -> None:
        predicted.append(Path(video.path).name)
        add(self, video, document)

    monkeypatch.setattr(FinishedVideos, "add", count)
    return predicted


def test_any_number_of_workers_writes_the_same_bytes(
    videos: Path, model: Path, expected: bytes, tmp_path: Path, capsys: Capture
) -> None:
    assert main(command(videos, model, tmp_path / "p.csv", "--workers", "3")) == 0
    assert (tmp_path / "p.csv").read_bytes() == expected
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(videos))]
    assert [Path(line).name for line in lines] == list(NAMES)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_or_killed_keeps_finished_videos(
    videos: Path, model: Path, expected: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    csv, mark = tmp_path / "p.csv", f"DFER_TEST_PREDICT_{os.getpid()}"
    line = command(videos, model, csv, "--workers", "2")
    code = [sys.executable, "-c", _KILL_ITSELF.format(signal=number.name), *line]
    done = subprocess.run(code, env=os.environ | {mark: "1"}, capture_output=True, text=True, check=False)
    if number == signal.SIGKILL:
        assert done.returncode == -signal.SIGKILL
        with (tmp_path / ".p.csv.unfinished/videos.jsonl").open("ab") as file:
            file.write(b'{"video": {"path')  # a kill while it wrote
    else:
        assert done.returncode == 130
        assert done.stderr.endswith("interrupted; finished videos are kept: add --resume to the same command\n")
    assert not csv.exists()
    left = [process for process in psutil.process_iter() if _has_mark(process, mark)]
    psutil.wait_procs(left, timeout=5)
    assert not [process for process in left if process.is_running()]
    assert main(line) == 2  # neither --resume nor --force
    predicted = count_predictions(monkeypatch)
    assert main([*line, "--resume"]) == 0
    assert len(predicted) == 2
    assert csv.read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


def _has_mark(process: psutil.Process, mark: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return mark in process.environ()
    return False


def test_a_resumed_run_needs_the_same_settings_and_predicts_changed_videos_again(
    videos: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    source, csv = Path(shutil.copytree(videos, tmp_path / "videos")), tmp_path / "p.csv"
    line = command(source, model, csv, "--workers", "1")
    add = FinishedVideos.add

    def interrupt(self: FinishedVideos, video: Any, document: Any) -> None:
        add(self, video, document)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FinishedVideos, "add", interrupt)
        assert main(line) == 130
    capsys.readouterr()
    assert main(line) == 2
    assert "an earlier run left 1 finished video in" in capsys.readouterr().err
    assert main([*line, "--resume", "--window-seconds", "1"]) == 2
    assert "window_seconds was 2.0, now 1.0" in capsys.readouterr().err
    assert main([*line, "--resume", "--runtime", "openvino"]) == 2
    assert "runtime was onnxruntime, now openvino" in capsys.readouterr().err
    write_video(source / "a.mp4", [np.zeros((64, 64, 3), np.uint8)] * 10)
    predicted = count_predictions(monkeypatch)
    assert main([*line, "--resume"]) == 3
    assert sorted(predicted) == list(NAMES)
    assert pd.read_csv(csv)["code"][0] == "NO_FACE"
    assert main([*line, "--resume"]) == 2
    assert "p.csv already exists" in capsys.readouterr().err


def test_what_takes_too_much_memory_is_a_row_and_is_tried_again_on_resume(
    videos: Path, model: Path, real_videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, csv = Path(shutil.copytree(videos, tmp_path / "videos")), tmp_path / "p.csv"
    images = real_pictures(real_videos["single_face.mp4"], stop=12)
    large = [np.asarray(cv2.resize(image, (3840, 2160)), np.uint8) for image in images]
    write_video(source / "4k.mp4", large, codec="libx264", options={"preset": "ultrafast"})
    (source / "junk.mp4").write_bytes(b"<html>")
    line = command(source, model, csv, "--workers", "2")
    assert main([*line, "--max-memory-mb", "400"]) == 3
    table = pd.read_csv(csv)
    assert [Path(name).name for name in table["video"]] == ["4k.mp4", *NAMES, "junk.mp4"]
    assert table["code"].fillna("").tolist() == ["OUT_OF_MEMORY", "", "", "", "", "UNREADABLE"]
    assert "`--resume`" in table["hint"][0]
    predicted = count_predictions(monkeypatch)
    assert main([*line, "--resume"]) == 3  # junk stays junk
    assert predicted == ["4k.mp4"]
    assert pd.read_csv(csv)["code"].fillna("").tolist() == ["", "", "", "", "", "UNREADABLE"]


def test_a_disk_that_fills_up_leaves_no_cut_file_and_nothing_is_lost(
    videos: Path, model: Path, expected: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    csv, plots = tmp_path / "p.csv", tmp_path / "plots"
    line = command(videos, model, csv, "--plots", str(plots))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(self: Any, file: Any, **options: Any) -> None:
        file.write(b"half")
        raise full

    with monkeypatch.context() as patch:
        patch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", fail)
        assert main(line) == 1
    assert "No space left on device: free some space" in capsys.readouterr().err
    assert list(plots.iterdir()) == []
    fsync = os.fsync

    def fail_for_the_csv(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("p.csv.part"):
            raise full
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_for_the_csv)
        assert main([*line, "--resume"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".p.csv.unfinished", "plots"]
    predicted = count_predictions(monkeypatch)
    assert main([*line, "--resume"]) == 0
    assert predicted == []
    assert csv.read_bytes() == expected
    assert len(list(plots.iterdir())) == len(NAMES)


def test_two_runs_on_one_output_do_not_mix(videos: Path, model: Path, tmp_path: Path, capsys: Capture) -> None:
    from dfer_data.storage.folder_lock import hold_folder

    folder = tmp_path / ".p.csv.unfinished"
    folder.mkdir()
    with hold_folder(folder):
        assert main(command(videos, model, tmp_path / "p.csv")) == 5
    assert re.search(r"is in use by process .* choose another output\n", capsys.readouterr().err)
