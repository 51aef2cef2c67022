"""The names that users import, where they lead, and `prepare` from Python."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dfer_data as dd
import lstpnet
from dfer_cli.main import main
from dfer_data.errors import UsageError
from tests.workspace import ROOT, run_dfer

PUBLIC = {
    "dfer_data": "ClipLoader ConcatClips FaceClipDataset FrameDraw PreparedDataset audit collate export lock "
    "open_dataset prepare read_audio read_clip verify",
    "lstpnet": "LSTPNet build_model load_model load_reference open_run report train",
}


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names_are_these_and_can_be_imported(package: str) -> None:
    module = importlib.import_module(package)
    assert dir(module) == sorted(module.__all__) == PUBLIC[package].split()
    assert all(callable(getattr(module, name)) for name in module.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize("package", PUBLIC)
def test_no_module_shares_the_name_of_a_public_function(package: str) -> None:
    """Once imported, `package.name` would be the module."""
    modules = {path.stem for path in (ROOT / package).iterdir()}
    assert modules & set(PUBLIC[package].split()) == set()


def test_importing_a_name_leaves_the_others_alone() -> None:
    code = "import dfer_data, sys; dfer_data.open_dataset; print('torch' in sys.modules, 'av' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


@pytest.mark.parametrize("module", ["dfer_data.detect.backends", "lstpnet.checkpoints.onnx_model"])
def test_onnxruntime_sends_nothing_and_leaves_no_number_of_the_machine(module: str, tmp_path: Path) -> None:
    left_out = ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "XDG_CACHE_HOME")
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    code = f"import {module}, onnxruntime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for value, shown in (({}, "1\n"), ({"ORT_DISABLE_TELEMETRY": "yes"}, "yes\n")):
        line = [sys.executable, "-c", code]
        done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment | value)
        assert done.stdout == shown
        assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name.lower()]


def test_prepare_from_python_makes_the_bytes_of_the_command(workspace: Path, tmp_path: Path) -> None:
    events: list[str] = []
    videos, out = tmp_path / "videos", tmp_path / "python"
    videos.mkdir()
    for name in ("00001", "00002", "00003"):
        shutil.copy(workspace / f"data/dfew/Clip/original/{name}.mp4", videos)
    summary = dd.prepare(
        "folder", source=videos, out=out, engine="inline", on_event=lambda event: events.append(type(event).__name__)
    )
    assert (sum(summary.num_clips.values()), summary.num_failed) == (3, 0)
    assert events[:2] == ["PreparationPlanned", "PreparationStarted"]
    assert dd.verify(out, deep=True).damages == ()
    assert main(["prepare", "folder", "--source", str(videos), "--out", str(tmp_path / "command")]) == 0
    made, command = (dd.open_dataset(path).document for path in (out, tmp_path / "command"))
    assert made == command
    again = dd.prepare("folder", source=videos, out=out, engine="inline")
    assert again.num_shards_made == 0


def test_faults_of_prepare_are_one_line(tmp_path: Path) -> None:
    words = r"unknown settings det_size \(did you mean det_size_px\?\), threads; known: .*det_size_px"
    with pytest.raises(UsageError, match=words):
        dd.prepare("dfew", source=tmp_path, det_size=640, threads=2)
    with pytest.raises(UsageError, match=r"size 1.*jpeg-quality 0"):
        dd.prepare("dfew", source=tmp_path, out=tmp_path / "out", jpeg_quality=0, size_px=1)


def test_the_command_is_a_module_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dfer_cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == run_dfer("--version", cwd=tmp_path).stdout


def test_the_packages_show_what_to_type() -> None:
    assert "dd.prepare(" in str(dd.__doc__)
    assert "lstpnet.train(" in str(lstpnet.__doc__)
