"""Runs, recipes and modules from strangers run no code that the command line does not name."""

from __future__ import annotations

import hashlib
import json
import os
import py_compile
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import lstpnet
from dfer_cli.main import main
from dfer_data.errors import UsageError
from lstpnet.checkpoints import custom_source
from lstpnet.checkpoints.custom_model import build_own, source_sha256
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.run_files import with_own_sha256
from tests.faults.stranger_code import DATA, HELPER, LAYERS, RUN, Capture, error_line, here, trained, work, write

__all__ = ["here", "trained", "work"]

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def source_file_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


EVALUATE = ["evaluate", str(RUN), "--data", DATA, "--fold", "3", "--device", "cpu"]
VERIFY = ["verify", str(RUN), "--data", DATA, "--deep", "--device", "cpu"]
PREDICT = ["predict", "video.mp4", "--model", str(RUN), "--device", "cpu"]


@pytest.mark.parametrize("command", [EVALUATE, VERIFY, PREDICT], ids=lambda command: str(command[0]))
def test_the_code_of_a_run_needs_trust(work: Path, capsys: Capture, command: list[str]) -> None:
    (work / "video.mp4").write_bytes(b"")
    assert main(command) == 2
    said = error_line(capsys)
    sha256 = source_file_sha256(work / "helper.py")
    assert (
        f"{RUN} runs code: model helper:build in helper.py (sha256 {sha256}); read it, then give --trust-model" in said
    )
    assert not (work / "ran").exists()


@pytest.mark.parametrize("command", [EVALUATE, VERIFY], ids=lambda command: str(command[0]))
def test_trusted_code_runs(work: Path, command: list[str]) -> None:
    assert main([*command, "--trust-model"]) == 0


@pytest.mark.parametrize(
    "command",
    [
        ["model", "export", str(RUN)],
        ["features", str(RUN), "--data", DATA, "--out", "f.npz"],
        ["report"],
        ["verify", str(RUN), "--data", DATA],
    ],
    ids=lambda command: str(command[0]),
)
def test_what_needs_no_model_runs_none(work: Path, command: list[str]) -> None:
    main(command)
    assert not (work / "ran").exists()


def test_python_asks_for_trust_too(work: Path) -> None:
    with pytest.raises(UsageError, match=r"runs code: model helper:build in helper\.py"):
        lstpnet.load_model(RUN, device="cpu")
    assert not (work / "ran").exists()
    clips = np.zeros((1, 16, 3, 32, 32), np.uint8)
    assert lstpnet.load_model(RUN, device="cpu", trust_model=True).predict(clips).shape == (1, 7)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda: Path("helper.py").write_text(HELPER + "\n"), "helper.py has sha256 .*, the training had "),
        (lambda: Path("layers.py").write_text(LAYERS + "\n"), "layers.py has sha256 .*, the training had "),
        (lambda: Path("layers.py").unlink(), "layers.py is missing"),
        (lambda: Path("helper.py").write_text(HELPER + "import more\n"), "helper.py has .*; more.py is new"),
    ],
)
def test_changed_code_is_refused_though_trusted(work: Path, change: Callable[[], object], difference: str) -> None:
    (work / "more.py").write_text("")
    change()
    with pytest.raises(UsageError, match=f"was trained with another model helper:build: {difference}"):
        load_trained(RUN, trust_model=True)
    assert not (work / "ran").exists()


@pytest.mark.parametrize("option", [("--custom-model", "newer:build"), ("--set", "model=newer:build")])
def test_the_command_line_names_other_code(work: Path, option: tuple[str, str]) -> None:
    (work / "helper.py").rename(work / "newer.py")
    assert main([*EVALUATE, *option]) == 0
    assert (work / "ran").exists()


def test_a_run_without_a_list_of_files_is_compared_by_its_one_hash(work: Path) -> None:
    config = json.loads((RUN / "config.json").read_bytes())
    del config["model_files"], config["files"], config["sha256"]
    config["settings"]["model_sha256"] = source_file_sha256(work / "helper.py")
    info = json.loads((RUN / "run.json").read_bytes())
    info = {key: info[key] for key in info if key not in ("files", "settings_sha256", "sha256")} | {"format_version": 1}
    (RUN / "config.json").write_text(json.dumps(config))
    (RUN / "run.json").write_text(json.dumps(info))
    load_trained(RUN, trust_model=True)
    (work / "helper.py").write_text(HELPER + "\n")
    with pytest.raises(UsageError, match=r"another model helper:build: helper\.py has sha256"):
        load_trained(RUN, trust_model=True)


def test_a_run_that_names_an_installed_module_runs_nothing(work: Path) -> None:
    config = json.loads((RUN / "config.json").read_bytes())
    config["settings"]["model"] = "idlelib.idle:main"
    del config["sha256"]
    (RUN / "config.json").write_text(json.dumps(with_own_sha256(config), sort_keys=True, separators=(",", ":")))
    info = json.loads((RUN / "run.json").read_bytes())
    info = {key: info[key] for key in info if key not in ("files", "settings_sha256", "sha256")} | {"format_version": 1}
    (RUN / "run.json").write_text(json.dumps(info))
    with pytest.raises(UsageError, match=r"runs code: model idlelib\.idle:main in /.*idle\.py \(sha256"):
        load_trained(RUN)
    assert "idlelib" not in sys.modules


def test_a_recipe_named_by_dfer_toml_runs_no_code(work: Path, capsys: Capture) -> None:
    (work / "theirs.toml").write_text('size_px = 32\nepochs = 1\nprecision = "f32"\nmodel = "helper:build"\n')
    (work / "dfer.toml").write_text('[train]\nrecipe = "theirs.toml"\nout = "new"\n')
    assert main(["train", "--fold", "3", "--device", "cpu"]) == 2
    said = error_line(capsys)
    assert "recipe theirs.toml names code to run, model = 'helper:build'" in said
    assert "give --trust-model, or --recipe theirs.toml, to run it" in said
    assert not (work / "ran").exists()
    assert not (work / "new").exists()


@pytest.mark.parametrize("named", [("--trust-model",), ("--recipe", "theirs.toml"), ("--model", "helper:build")])
def test_code_that_the_command_line_names_runs(work: Path, named: tuple[str, ...]) -> None:
    (work / "theirs.toml").write_text('size_px = 32\nepochs = 1\nprecision = "f32"\nmodel = "helper:build"\n')
    (work / "dfer.toml").write_text('[train]\nrecipe = "theirs.toml"\nout = "new"\n')
    assert main(["train", "--fold", "3", "--device", "cpu", *named]) == 0
    assert (work / "ran").exists()


def test_dfer_toml_cannot_trust(work: Path, capsys: Capture) -> None:
    (work / "dfer.toml").write_text("[train]\ntrust_model = true\n")
    assert main(["train", "--fold", "3"]) == 2
    assert "unknown key 'trust_model'" in error_line(capsys)


BUILD = "import torch\ndef build(num_classes):\n    return torch.nn.Linear(NUMBER, num_classes)\n"


def in_features(name: str) -> int:
    model = build_own(name, num_classes=7)
    assert isinstance(model, torch.nn.Linear)
    return model.in_features


def test_a_compiled_file_does_not_replace_the_source(here: Path) -> None:
    write("cached.py", BUILD.replace("NUMBER", "5"))
    stamp = (here / "cached.py").stat()
    py_compile.compile("cached.py", doraise=True)
    write("cached.py", BUILD.replace("NUMBER", "6"))
    os.utime("cached.py", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # the compiled file passes for this source
    assert in_features("cached:build") == 6


def test_changed_source_is_run_anew_and_each_folder_has_its_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("again.py", BUILD.replace("NUMBER", "2"))
    first = source_sha256("again:build")
    assert in_features("again:build") == 2
    write("again.py", BUILD.replace("NUMBER", "3"))
    assert in_features("again:build") == 3
    assert source_sha256("again:build") != first
    write("other/again.py", BUILD.replace("NUMBER", "4"))
    monkeypatch.chdir("other")
    assert in_features("again:build") == 4


@pytest.mark.parametrize("name", ["pack.inner.net", "loose.net"])
def test_packages_and_relative_imports_work(here: Path, name: str) -> None:
    folder = name.rpartition(".")[0].replace(".", "/")
    write("pack/__init__.py", "")
    write("pack/inner/__init__.py", "from . import sizes\n")
    write(f"{folder}/net.py", "from .sizes import SIZE\n" + BUILD.replace("NUMBER", "SIZE"))
    write(f"{folder}/sizes.py", "SIZE = 9\n")
    assert in_features(f"{name}:build") == 9
    files = set(custom_source.find_source(f"{name}:build").sha256s)
    assert {f"{folder}/net.py", f"{folder}/sizes.py"} <= files


def test_modules_of_the_working_folder_replace_no_installed_ones(here: Path) -> None:
    for name in ("random", "numpy", "simplejpeg", "json", "torch"):
        write(f"{name}.py", f"open('ran', 'a').write({name!r})\n")
    write("uses.py", "import random, numpy, simplejpeg, json\n" + BUILD.replace("NUMBER", "random.randint(2, 2)"))
    assert in_features("uses:build") == 2
    assert not (here / "ran").exists()
    assert set(custom_source.find_source("uses:build").sha256s) == {"uses.py"}


def test_an_optional_module_that_no_statement_imports_is_not_taken(here: Path) -> None:
    write("surprise.py", "open('ran', 'w')\n")
    write("asks.py", "import importlib\nimportlib.import_module('surprise')\n" + BUILD.replace("NUMBER", "2"))
    with pytest.raises(UsageError, match="'surprise' is neither installed nor in the working folder, or not imported"):
        build_own("asks:build", num_classes=7)
    assert not (here / "ran").exists()


@pytest.mark.parametrize("name", ["json", "torch", "numpy"])
def test_a_name_of_an_installed_module_is_refused(here: Path, name: str) -> None:
    write(f"{name}.py", "open('ran', 'w')\n")
    with pytest.raises(UsageError, match=f"module {name} is in the working folder and installed .*; rename one"):
        build_own(f"{name}:build", num_classes=7)
    assert not (here / "ran").exists()


@pytest.mark.parametrize(
    "name", ["../x:build", "/etc/x:build", "a/b:build", "..x:build", "a.:build", ":build", "a:b.c"]
)
def test_only_names_of_modules_are_names(here: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"expected package\.module:build"):
        build_own(name, num_classes=7)


@pytest.mark.parametrize("text", ["def build(:\n", "\0", "(" * 5000])
def test_source_that_is_no_python_is_one_line(here: Path, text: str) -> None:
    write("broken.py", text)
    with pytest.raises(UsageError, match=r"model broken: broken\.py is not valid Python"):
        build_own("broken:build", num_classes=7)
