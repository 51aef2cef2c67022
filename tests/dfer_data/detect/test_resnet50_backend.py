"""What of the ResNet-50 needs no retinaface-pytorch: its files, its faults, what it is given. The rest: see below.

`test_resnet50_package.py` has what needs the package; it is skipped without, and run by `make soak` in an environment
of its own.
"""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import sys
import tomllib
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.peers.environment import ROOT, python_with
from dfer_data.detect.backends import check_hardware
from dfer_data.detect.resnet50_backend import fill, read_resnet50
from dfer_data.detect.retinaface import _BACKBONES, _anchors, _network_input
from dfer_data.errors import UsageError, WeightsError
from dfer_data.extras import install_command
from dfer_data.weights.fetch import fetch_weights, weights_file
from tests.dfer_data.tiny import pictures

Capture = pytest.CaptureFixture[str]


def _installed(versions: dict[str, str]) -> Callable[[str], str]:
    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    return version


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({}, "needs torch, which is not installed"),
        ({"torch": "2.13.0"}, "needs torchvision, which is not installed"),
        ({"torch": "2.13.0", "torchvision": "0.28.0"}, "needs retinaface-pytorch, which is not installed"),
        (
            {"torch": "2.13.0", "torchvision": "0.28.0", "retinaface-pytorch": "0.0.8"},
            "needs retinaface-pytorch 0.0.7, but 0.0.8 is installed",
        ),
    ],
)
def test_what_is_not_installed_is_told_with_the_fix(
    versions: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", _installed(versions))
    with pytest.raises(UsageError, match=message) as caught:
        check_hardware("cpu", "f32", backbone="resnet50")
    command = install_command("resnet50", is_here=False)
    assert f"{command} in a separate environment (docs/how-to/detectors.md)" in str(caught.value)


def test_builds_of_torch_that_do_not_fit_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an index's torchvision says beside a torch for CPUs alone."""
    versions = {"torch": "2.13.0+cpu", "torchvision": "0.28.0", "retinaface-pytorch": "0.0.7"}
    monkeypatch.setattr(importlib.metadata, "version", _installed(versions))
    (tmp_path / "retinaface").mkdir()
    (tmp_path / "retinaface/__init__.py").touch()
    (tmp_path / "retinaface/network.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("retinaface", "retinaface.network"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(UsageError, match=r"\(operator torchvision::nms does not exist\); torch and torchvision may be"):
        check_hardware("cpu", "f32", backbone="resnet50")
    sys.modules.pop("retinaface", None)


def test_bf16_is_for_gpus() -> None:
    with pytest.raises(UsageError, match="--backbone resnet50 --precision bf16: on a CPU it computes only in f32"):
        check_hardware("cpu", "bf16", backbone="resnet50")


def test_the_file_is_put_into_the_cache_by_hand(empty_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"download https://github\.com/ternaus/retinaface/releases/.*\.zip"
    ) as caught:
        weights_file("retinaface-resnet50")
    folder = empty_cache / "weights"
    assert f"into {folder}, or give the file to `dfer prepare` with --weights PATH" in str(caught.value)
    folder.mkdir(parents=True)
    placed = folder / "retinaface_resnet50_2020-07-20-f168fae3c.zip"
    placed.write_bytes(b"x")
    assert weights_file("retinaface-resnet50") == fetch_weights("retinaface-resnet50") == placed
    mine = tmp_path / "mine.pth"
    mine.touch()
    assert weights_file("retinaface-resnet50", path=mine) == mine


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)


def _written(folder: Path, kind: str, tensors: dict[str, Tensor]) -> Path:
    path = folder / f"file.{kind}"
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind != "old.pth")
    if kind == "zip":  # as it is released: a zip with one file in it
        inner = path.rename(folder / "inner.pth")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(inner, "inner.pth")
    return path


@pytest.mark.parametrize("kind", ["pth", "old.pth", "zip", "safetensors"])
def test_weights_are_read_whatever_holds_them(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, other = _Model(), _Model()
    path = _written(tmp_path, kind, model.state_dict())
    tensors = read_resnet50(path, path.read_bytes())
    fill(other, {f"{name}": tensor for name, tensor in tensors.items()}, name="x")
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor, rtol=0, atol=0)


def test_what_is_no_file_of_weights_is_told_in_one_line(tmp_path: Path) -> None:
    whole = _written(tmp_path, "pth", _Model().state_dict())
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:-300])
    (tmp_path / "page.zip").write_text("<html>")
    (tmp_path / "junk.safetensors").write_bytes(b"\xff" * 40)
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"a": os.system}))
    torch.save({"a": 3}, tmp_path / "numbers.pth")
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    for name, message in [
        ("cut.pth", "not a weights file that PyTorch can read"),
        ("page.zip", "not a weights file that PyTorch can read|holds code"),
        ("junk.safetensors", "not a weights file"),
        ("code.pth", "holds code or objects besides tensors"),
        ("numbers.pth", "something other than named tensors"),
        ("text.zip", "not a weights file that PyTorch can read|holds code"),
    ]:
        with pytest.raises(UsageError, match=message) as caught:
            read_resnet50(tmp_path / name, (tmp_path / name).read_bytes())
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_other_weights_are_refused_with_what_does_not_fit() -> None:
    state = _Model().state_dict()
    del state["norm.num_batches_tracked"]
    fill(_Model(), state, name="fine")
    missing = {name: tensor for name, tensor in state.items() if name != "conv.bias"}
    with pytest.raises(UsageError, match=r"m\.pth does not hold .*: tensors missing: 1, unknown: 0, .* \(conv\.bias\)"):
        fill(_Model(), missing, name="m.pth")
    with pytest.raises(UsageError, match=r"tensors missing: 0, unknown: 1, .* \(head\)"):
        fill(_Model(), state | {"head": torch.zeros(1)}, name="m.pth")
    with pytest.raises(UsageError, match=r"of another shape: 1 \(conv\.weight\)"):
        fill(_Model(), state | {"conv.weight": torch.zeros(4, 3, 3, 3)}, name="m.pth")


def test_pictures_are_normalised_as_on_imagenet() -> None:
    image = pictures(1, width_px=50, height_px=40)[0]
    batch = _network_input([image], (2, 3, 64, 64), _BACKBONES["resnet50"].format)
    wanted = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(batch[0, :, :40, :50], wanted.transpose(2, 0, 1), atol=1e-5)
    assert not batch[0, :, 40:].any()
    assert not batch[0, :, :, 50:].any()
    assert not batch[1].any()


@pytest.mark.parametrize(("height", "width"), [(384, 640), (64, 96), (32, 32)])
def test_anchors_lie_as_the_published_loops_put_them(height: int, width: int) -> None:
    wanted = [
        [(column + 0.5) * stride, (row + 0.5) * stride, size, size]
        for stride, sizes in [(8, (16, 32)), (16, (64, 128)), (32, (256, 512))]
        for row, column, size in product(range(height // stride), range(width // stride), sizes)
    ]
    np.testing.assert_array_equal(_anchors(height, width), np.array(wanted, np.float32))


@pytest.mark.soak
def test_beside_the_package_in_an_environment_of_its_own() -> None:
    """retinaface-pytorch without what it declares: that would lay a second OpenCV over dfer's."""
    import subprocess

    with (ROOT / "pyproject.toml").open("rb") as file:
        core = tomllib.load(file)["project"]["dependencies"]
    (torch_pin,) = [line for line in (ROOT / "constraints.txt").read_text().split() if line.startswith("torch==")]
    python = python_with(
        "resnet50",
        # `===`: not a build for CPUs alone, which the index's torchvision does not fit
        (
            *core,
            torch_pin.replace("==", "==="),
            "torchvision",
            "albumentations",
            "jpeg4py",
            "pytest",
            "hypothesis",
            "safetensors",
        ),
        alone=("retinaface-pytorch==0.0.7", "iglovikov-helper-functions==0.0.53", "--editable", str(ROOT)),
    )
    tests = "tests/dfer_data/detect/test_resnet50_backend_package.py"
    done = subprocess.run([python, "-m", "pytest", "-rs", tests], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
