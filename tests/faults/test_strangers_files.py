"""Files from strangers lead no output elsewhere, and no reader of theirs runs code, opens other files or grows."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from openpyxl import Workbook

import lstpnet
from dfer_cli.main import main
from dfer_data.errors import AnnotationError, CorruptDataError
from dfer_data.sources import spreadsheet
from dfer_data.sources.spreadsheet import read_rows
from lstpnet.checkpoints.onnx_model import ExportedModel
from lstpnet.errors import CheckpointError
from tests.faults.stranger_code import DATA, SMALL, Capture, error_line, here, trained, work, write

__all__ = ["here", "trained", "work"]

pytestmark = pytest.mark.usefixtures("one_torch_thread")

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
