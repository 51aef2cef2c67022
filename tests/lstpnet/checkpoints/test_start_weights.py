"""Start weights from files as people have them: ours, the authors', a ResNet-18; and files that are none of these."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dfer_data.errors import UsageError
from lstpnet.checkpoints import tensor_files
from lstpnet.checkpoints.checkpoint import save_checkpoint
from lstpnet.checkpoints.reference import export_reference
from lstpnet.checkpoints.start_weights import Filled, fill_from
from lstpnet.checkpoints.tensor_files import read_tensors
from lstpnet.errors import CheckpointError
from lstpnet.models.lstpnet import LSTPNet

WIDTH = 0.125


def network(num_classes: int = 7, *, seed: int = 0, **settings: Any) -> LSTPNet:
    torch.manual_seed(seed)
    return LSTPNet(num_classes, **({"width_multiplier": WIDTH} | settings))


def resnet18(*, seed: int = 5, prefix: str = "", num_classes: int = 1000) -> dict[str, Tensor]:
    """The tensors of a ResNet-18 by torchvision's names: no biases before norms, a classifier of its own."""
    names = network(seed=seed).backbone.state_dict()
    biases = ("conv1.bias", "conv2.bias", "downsample.0.bias")
    kept = {n: t for n, t in names.items() if "excitation" not in n and not n.endswith(biases)}
    classifier = {"fc.weight": torch.randn(num_classes, 64), "fc.bias": torch.randn(num_classes)}
    return {prefix + name: tensor for name, tensor in (kept | classifier).items()}


def check_filled(model: LSTPNet, before: dict[str, Tensor], filled: Filled, source: dict[str, Tensor]) -> None:
    """What was filled is the file's, what was kept is the model's own; together they are all of it."""
    now = model.state_dict()
    counts = {name for name in now if name.endswith("num_batches_tracked")}
    assert set(filled.filled) | set(filled.kept) | counts == set(now)
    assert not set(filled.filled) & set(filled.kept)
    for name in filled.filled:
        assert torch.equal(now[name], source[name])
    for name in filled.kept:
        assert torch.equal(now[name], before[name])


def fill(model: LSTPNet, path: Path) -> tuple[Filled, dict[str, Tensor]]:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return fill_from(model, path), before


def test_one_of_ours_fills_everything(tmp_path: Path) -> None:
    source = network(seed=1)
    save_checkpoint(source, tmp_path / "last.safetensors", facts={})
    model = network(seed=2)
    filled, before = fill(model, tmp_path / "last.safetensors")
    check_filled(model, before, filled, source.state_dict())
    assert (filled.kind, filled.kept, filled.unused) == ("lstpnet", (), ())
    assert filled.words == f"lstpnet: {len(filled.filled)} tensors filled"


def test_of_a_run_with_other_classes_the_classifier_starts_anew(tmp_path: Path) -> None:
    source = network(11, seed=1)
    save_checkpoint(source, tmp_path / "last.safetensors", facts={})
    model = network(7, seed=2)
    filled, before = fill(model, tmp_path / "last.safetensors")
    check_filled(model, before, filled, source.state_dict())
    assert filled.kept == ("fc.weight", "fc.bias")
    assert filled.words.endswith("; 2 keep their initial values (classifier)")


def test_of_a_run_with_another_temporal_part_the_backbone_is_taken(tmp_path: Path) -> None:
    source = network(seed=1, temporal="gru")
    save_checkpoint(source, tmp_path / "last.safetensors", facts={})
    filled, _ = fill(network(seed=2), tmp_path / "last.safetensors")
    assert {name.partition(".")[0] for name in filled.filled} == {"backbone", "fc"}
    assert (
        {name.partition(".")[0] for name in filled.kept}
        == {name.partition(".")[0] for name in filled.unused}
        == {"head"}
    )
    assert "(temporal part)" in filled.words


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "as msceleb"])
def test_a_resnet18_fills_convolutions_and_norms_and_says_what_stays(tmp_path: Path, wrapped: bool) -> None:
    tensors = resnet18(prefix="module." if wrapped else "")
    path = tmp_path / "resnet18_msceleb.pth"
    torch.save({"state_dict": tensors, "epoch": 3} if wrapped else tensors, path)
    model = network(seed=2)
    filled, before = fill(model, path)
    check_filled(model, before, filled, {f"backbone.{n.removeprefix('module.')}": t for n, t in tensors.items()})
    assert filled.kind == "resnet18"
    kept = {name for name in filled.kept if name.startswith("backbone.")}
    assert all("excitation" in name or name.endswith(".bias") for name in kept)
    assert filled.unused == ("backbone.fc.weight", "backbone.fc.bias")
    assert (
        "keep their initial values (biases before batch norms, classifier, excitations, temporal part)" in filled.words
    )


def test_a_resnet18_fits_any_attention(tmp_path: Path) -> None:
    torch.save(resnet18(), tmp_path / "a.pth")
    for attention in ("eca", "none"):
        filled, _ = fill(network(attention=attention), tmp_path / "a.pth")
        assert len([name for name in filled.filled if name.startswith("backbone.")]) == 61 + 40 + 20 - 1


def test_the_authors_file_fills_everything(tmp_path: Path) -> None:
    source = network(seed=1, width_multiplier=1.0)
    exported = {f"module.{name}": tensor for name, tensor in export_reference(source).items()}
    torch.save({"model_state_dict": exported, "epoch": 32}, tmp_path / "best_val_acc_uar.pth")
    model = network(seed=2, width_multiplier=1.0)
    filled, before = fill(model, tmp_path / "best_val_acc_uar.pth")
    check_filled(model, before, filled, source.state_dict())
    assert (filled.kind, filled.kept) == ("authors", ())


def refusal(model: LSTPNet, path: Path) -> str:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        fill_from(model, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert caught.value.exit_code == 1
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_backbone_that_does_not_fit_whole_is_refused(tmp_path: Path) -> None:
    tensors = resnet18()
    del tensors["layer3.1.bn2.weight"]
    tensors["layer4.0.conv1.weight"] = torch.zeros(3)
    tensors["bn1.bias"] = torch.full((8,), torch.nan)
    torch.save(tensors, tmp_path / "a.pth")
    message = refusal(network(), tmp_path / "a.pth")
    for words in (
        "(resnet18) does not fit this network (width_multiplier 0.125)",
        "backbone.layer3.1.bn2.weight is missing",
        "backbone.layer4.0.conv1.weight has shape (3,), not (64, 32, 3, 3)",
        "backbone.bn1.bias holds NaN",
    ):
        assert words in message


def test_another_width_is_refused(tmp_path: Path) -> None:
    torch.save(resnet18(), tmp_path / "a.pth")
    assert "and " in refusal(network(width_multiplier=0.25), tmp_path / "a.pth")


class Evil:
    """A pickle that would run a command."""

    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch /tmp/dfer-was-run",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    for number, content in enumerate(({"fc.weight": Evil()}, {"state_dict": {"a": torch.zeros(1)}, "args": Evil()})):
        torch.save(content, tmp_path / f"{number}.pth")
        message = refusal(network(), tmp_path / f"{number}.pth")
        assert "holds code or objects besides tensors, which are not loaded" in message
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Evil()))
    refusal(network(), tmp_path / "plain.pkl")
    assert not Path("/tmp/dfer-was-run").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.pth", b"", "cannot be read by PyTorch"),
        ("page.pth", b"<!doctype html>", "which are not loaded"),
        ("cut.safetensors", b"\x40\0\0\0\0\0\0\0{", "cannot be read as safetensors"),
    ],
)
def test_what_is_no_file_of_weights_is_one_line(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert words in refusal(network(), tmp_path / name)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn], ids=str)
def test_numbers_that_would_become_others_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {name: tensor.clone() for name, tensor in network().state_dict().items()}
    tensors["backbone.conv1.weight"] = tensors["backbone.conv1.weight"].to(dtype)
    torch.save(tensors, tmp_path / "other.pth")
    assert f"backbone.conv1.weight is {dtype}, not one of torch.float16" in refusal(network(), tmp_path / "other.pth")


def test_half_precision_fills_the_same_numbers(tmp_path: Path) -> None:
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in network().state_dict().items()
    }
    torch.save(tensors, tmp_path / "half.pth")
    model = network()
    fill_from(model, tmp_path / "half.pth")
    assert all(torch.equal(tensor, tensors[name].to(tensor.dtype)) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_file_that_is_cut_or_damaged_anywhere_is_one_line(tmp_path: Path, *, is_zip: bool) -> None:
    torch.save({"a": torch.ones(4)}, tmp_path / "a.pth", _use_new_zipfile_serialization=is_zip)
    content = (tmp_path / "a.pth").read_bytes()
    versions = [content[:end] for end in range(0, len(content), 7)]
    for position in range(0, len(content), 7):
        versions.append(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    for version in versions:
        try:
            read_tensors(tmp_path / "a.pth", version)
        except CheckpointError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017
            assert "a.pth holds" in str(error) or "cannot be read by PyTorch" in str(error)  # noqa: PT017


@pytest.mark.parametrize(("name", "file"), [("none.pth", "none.pth"), (".", "model.safetensors")])
def test_a_file_that_is_not_there_is_a_wrong_request(tmp_path: Path, name: str, file: str) -> None:
    with pytest.raises(UsageError, match=f"--init: no weights file at .*{file}: no such file"):
        fill_from(network(), tmp_path / name)


def test_tensors_of_something_else_and_lists_are_refused(tmp_path: Path) -> None:
    save_file({"encoder.weight": torch.zeros(2)}, tmp_path / "vit.safetensors")
    assert "neither an LSTPNet nor a ResNet-18" in refusal(network(), tmp_path / "vit.safetensors")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    assert "holds a list, not tensors by name" in refusal(network(), tmp_path / "list.pth")
    torch.save({"conv1.weight": torch.zeros(2), "note": "hello"}, tmp_path / "more.pth")
    assert "holds more than tensors: note is a str" in refusal(network(), tmp_path / "more.pth")


def test_prefixes_of_wrappers_are_taken_off(tmp_path: Path) -> None:
    torch.save({"module._orig_mod.a": torch.ones(1)}, tmp_path / "a.pth")
    assert list(read_tensors(tmp_path / "a.pth")) == ["a"]


def test_a_huge_tensor_is_refused_without_reading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten gigabytes in a sparse file, a view of one number, and a compressed file of a few kilobytes."""
    header = json.dumps({"conv1.weight": {"dtype": "F32", "shape": [2500, 10**6], "data_offsets": [0, 10**10]}})
    with (tmp_path / "sparse.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header.encode())
        file.truncate(8 + len(header) + 10**10)
    torch.save(resnet18() | {"conv1.weight": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "view.pth")
    torch.save(resnet18(), tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in plain.infolist():
            packed.writestr(member.filename, plain.read(member))
        with packed.open("plain/data/999", "w", force_zip64=True) as zeros:
            for _ in range(3):
                zeros.write(bytes(2**26))
    assert "holds 10.0 GB and is not loaded" in refusal(network(), tmp_path / "sparse.safetensors")
    assert "has shape (1000000, 1000000), not" in refusal(network(), tmp_path / "view.pth")
    assert (tmp_path / "packed.pth").stat().st_size < 2**23
    monkeypatch.setattr(tensor_files, "MAX_WEIGHTS_BYTES", 2**27)
    assert "holds 0.2 GB and is not loaded" in refusal(network(), tmp_path / "packed.pth")


def test_tensors_that_are_not_dense_are_refused(tmp_path: Path) -> None:
    torch.save(resnet18() | {"conv1.weight": torch.zeros(8, 3, 7, 7).to_sparse()}, tmp_path / "sparse.pth")
    assert "holds tensors that are not dense" in refusal(network(), tmp_path / "sparse.pth")
