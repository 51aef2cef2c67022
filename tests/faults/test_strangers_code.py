"""Files from strangers run no code that the command line does not name, and write nowhere that it does not name."""

from __future__ import annotations

import hashlib
import io
import json
import os
import py_compile
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from openpyxl import Workbook

import lstpnet
from dfer_cli.main import main
from dfer_data.errors import AnnotationError, CorruptDataError, UsageError
from dfer_data.sources import spreadsheet
from dfer_data.sources.spreadsheet import read_rows
from lstpnet.checkpoints import custom_source
from lstpnet.checkpoints.custom_model import build_own, source_sha256
from lstpnet.checkpoints.onnx_model import ExportedModel
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.errors import CheckpointError
from lstpnet.run_files import with_own_sha256

Capture = pytest.CaptureFixture[str]
DATA = "prepared/dfew-none"
RUN = Path("runs/dfew-none/demo-helper.build/fold-3/seed-0")
SMALL = [
    *("--recipe", "demo", "--set", "size_px=32", "--set", "epochs=1", "--set", "frame_epochs=0"),
    *("--set", "precision=f32", "--device", "cpu"),
]
HELPER = """
from pathlib import Path
import torch
import layers

with Path("ran").open("a") as file:
    file.write("helper ")

class Colours(torch.nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc = layers.last(num_classes)

    def forward(self, x):
        return self.fc(x.mean(dim=(1, 3, 4)))

def build(num_classes):
    return Colours(num_classes)
"""
LAYERS = """
import torch

def last(num_classes):
    return torch.nn.Linear(3, num_classes)
"""
pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def trained(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a prepared dataset, and a run of a custom model whose code is two files."""
    work = tmp_path_factory.mktemp("trained") / "work"
    shutil.copytree(crops, work / DATA)
    (work / "helper.py").write_text(HELPER)
    (work / "layers.py").write_text(LAYERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        assert main(["train", "--fold", "3", "--model", "helper:build", *SMALL]) == 0
        assert Path("ran").read_text()
        Path("ran").unlink()
    return work


@pytest.fixture
def work(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working folder."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "work"))
    return Path()


def source_file_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def error_line(capsys: Capture) -> str:
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ")
    assert "\n" not in line
    return line


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


def write(name: str, text: str) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


BUILD = "import torch\ndef build(num_classes):\n    return torch.nn.Linear(NUMBER, num_classes)\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


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


OUTSIDE = [
    "/elsewhere",
    "../elsewhere",
    "a/../../elsewhere",
    "~/elsewhere",
    "~nobody/x",
    "link/x",
    "loop/x",
    "a\\..\\b",
]


@pytest.fixture
def with_links(here: Path) -> Path:
    (here / "link").symlink_to(here.parent)
    (here / "loop").symlink_to(here / "loop")
    return here


@pytest.mark.parametrize(
    ("table", "key", "line", "place"),
    [
        *(("prepare", "out", "prepare dfew", place) for place in [*OUTSIDE, "s3://bucket/faces", "file:///elsewhere"]),
        *(("prepare", "work", "prepare dfew", place) for place in OUTSIDE),
        *(("train", "out", "train --fold 3", place) for place in OUTSIDE),
    ],
)
def test_dfer_toml_leads_no_output_out_of_its_folder(
    with_links: Path, capsys: Capture, table: str, key: str, line: str, place: str
) -> None:
    (with_links / "dfer.toml").write_text(f"[{table}]\n{key} = {json.dumps(place)}\n")
    assert main(line.split()) == 2
    said = error_line(capsys)
    assert f"dfer.toml, which may be someone else's: [{table}] {key} = " in said
    assert f"leads out of its folder (give --{key} on the command line to use it)" in said


def test_dfer_toml_names_no_cluster(here: Path, capsys: Capture) -> None:
    (here / "dfer.toml").write_text('[prepare]\nengine = "ray"\naddress = "cluster.example:6379"\n')
    assert main(["prepare", "dfew"]) == 2
    assert "address = 'cluster.example:6379' is for the command line only (give --address" in error_line(capsys)


def test_an_option_replaces_the_place_of_dfer_toml(work: Path, tmp_path: Path) -> None:
    (work / "dfer.toml").write_text('[train]\nout = "/elsewhere"\n')
    out = tmp_path / "runs of mine"
    assert main(["train", "--fold", "3", *SMALL, "--model", "helper:build", "--out", str(out)]) == 0
    assert list(out.rglob("run.json"))


def test_the_configuration_of_a_git_folder_runs_nothing(work: Path) -> None:
    subprocess.run(["git", "init", "-q", "."], check=True)
    marker = Path("git-ran").resolve()
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "alias.rev-parse"):
        subprocess.run(["git", "config", key, f"!touch {marker}" if "alias" in key else f"touch {marker}"], check=True)
    assert main(["train", "--fold", "3", *SMALL, "--model", "helper:build", "--out", "new"]) == 0
    assert not marker.exists()


def test_a_matplotlibrc_of_the_working_folder_does_not_count(here: Path) -> None:
    write("matplotlibrc", "text.usetex: True\ntext.latex.preamble: \\input{secret}\nfont.size: 40\n")
    code = (
        "from dfer_data.render.figure import new_figure; figure = new_figure(1, 1); import matplotlib; "
        "print(matplotlib.rcParams['text.usetex'], matplotlib.rcParams['font.size'])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False 10.0\n"


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("option", ["--init", "evaluate"])
def test_a_pickle_in_a_weights_file_is_not_run(work: Path, option: str) -> None:
    torch.save({"state_dict": {"conv1.weight": _Runs()}}, "theirs.pth")
    if option == "--init":
        with pytest.raises(CheckpointError, match="holds code or objects besides tensors"):
            lstpnet.train(DATA, fold=3, recipe="demo", init="theirs.pth", device="cpu", out="new")
    else:
        with pytest.raises(CheckpointError, match="holds code or objects besides tensors"):
            lstpnet.load_model("theirs.pth", trained_on="dfew", device="cpu")
    assert not (work / "unpickled").exists()


def onnx_with_outside_data(location: str) -> bytes:
    """A graph that adds a tensor in another file to its input."""
    onnx = pytest.importorskip("onnx")
    tensor = onnx.numpy_helper.from_array(np.ones(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    inputs = [onnx.helper.make_tensor_value_info("clips", onnx.TensorProto.FLOAT, [4])]
    outputs = [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [4])]
    nodes = [onnx.helper.make_node("Add", ["clips", "w"], ["logits"])]
    graph = onnx.helper.make_graph(nodes, "graph", inputs, outputs, [tensor])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["../secret", "secret", "../../secret", "link", "ABSOLUTE"])
def test_an_exported_model_reads_no_other_file(here: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    write("model/secret", "x" * 16)
    write("secret", "x" * 16)
    (here / "model/link").symlink_to("../secret")
    content = onnx_with_outside_data(location.replace("ABSOLUTE", str(here / "secret")))
    (here / "model/m.onnx").write_bytes(content)
    monkeypatch.chdir("model")
    with pytest.raises(CorruptDataError, match="is not an ONNX model"):
        ExportedModel(here / "model/m.onnx")


@pytest.mark.parametrize("location", ["../secret", "../../secret", "link", "ABSOLUTE"])
def test_onnxruntime_reads_no_file_outside_the_folder_of_a_detector(here: Path, location: str) -> None:
    """`--weights` opens a file by its path; onnxruntime then looks only in its folder."""
    write("secret", "x" * 16)
    write("model/inside", "x" * 16)
    (here / "model/link").symlink_to("../secret")
    (here / "model/m.onnx").write_bytes(onnx_with_outside_data(location.replace("ABSOLUTE", str(here / "secret"))))
    with pytest.raises(Exception, match="External data path"):
        onnxruntime.InferenceSession(here / "model/m.onnx")
    (here / "model/m.onnx").write_bytes(onnx_with_outside_data("inside"))
    onnxruntime.InferenceSession(here / "model/m.onnx")


SHEET = (
    '<?xml version="1.0"?>{head}<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    '<row r="1"><c r="A1" t="inlineStr"><is><t>{text}</t></is></c></row></sheetData></worksheet>'
)


def write_sheet(path: Path, head: str, text: str, *, extra: bytes = b"") -> Path:
    """Write an Excel file with this document type and this text in its cell A1."""
    book, buffer = Workbook(), io.BytesIO()
    book.save(buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            is_sheet = name == "xl/worksheets/sheet1.xml"
            target.writestr(name, SHEET.format(head=head, text=text) if is_sheet else source.read(name))
        if extra:
            with target.open("xl/media/large", "w", force_zip64=True) as member:
                for _ in range(9):
                    member.write(extra)
    return path


def test_a_spreadsheet_opens_no_other_file_and_does_not_grow(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("secret", "private")
    assert list(read_rows(write_sheet(here / "plain.xlsx", "", "text"), "x.xlsx")) == [(1, ("text",))]
    entities = '<!ENTITY l0 "lol">' + "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    for head, text in (
        (f'<!DOCTYPE x [<!ENTITY e SYSTEM "{(here / "secret").as_uri()}">]>', "&e;"),
        (f"<!DOCTYPE x [{entities}]>", "&l9;"),
    ):
        with pytest.raises(AnnotationError, match="not a readable Excel file"):
            list(read_rows(write_sheet(here / "theirs.xlsx", head, text), "x.xlsx"))
    monkeypatch.setattr(spreadsheet, "_MAX_UNPACKED_BYTES", 2**23)
    with pytest.raises(AnnotationError, match="it unpacks to more than 8 MiB"):
        list(read_rows(write_sheet(here / "bomb.xlsx", "", "text", extra=bytes(2**20)), "x.xlsx"))
