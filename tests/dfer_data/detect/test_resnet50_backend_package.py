"""The ResNet-50 beside retinaface-pytorch's own prediction, on random weights: the released ones are not at hand here.

Skipped where the package is missing. Its truncation to whole pixels is all that may lie between the two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfer_data.detect.backends import check_hardware
from dfer_data.detect.retinaface import RetinaFace
from dfer_data.errors import UsageError
from dfer_data.types import Detection, Image
from tests.dfer_data.tiny import real_pictures, tree, write_video

try:
    check_hardware("cpu", "f32", backbone="resnet50")
except UsageError as error:
    pytest.skip(str(error), allow_module_level=True)

import torch

from dfer_data.detect.resnet50_backend import build, read_resnet50

SIDE_PX = 320
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def squares(real_videos: dict[str, Path]) -> list[Image]:
    """Pictures that neither side has to scale or pad."""
    single = real_pictures(real_videos["single_face.mp4"], stop=3, width_px=2 * SIDE_PX)
    return [np.ascontiguousarray(image[:SIDE_PX, 150 : 150 + SIDE_PX]) for image in single]


@pytest.fixture(scope="module", params=[0, 1])
def random_weights(
    request: pytest.FixtureRequest, squares: list[Image], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A file of random weights with norms that fit these pictures, and biases by which some dozens are faces."""
    torch.manual_seed(request.param)
    model = build()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # running statistics are the mean over what it sees
    batch = torch.from_numpy(np.stack(squares).transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.45) / 0.225
    with torch.no_grad():
        model.train()(batch)
        _, scores, _ = model.eval()(batch)
        surplus = (scores[..., 1] - scores[..., 0]).flatten().sort(descending=True).values
        heads: Any = model.ClassHead
        for head in heads:
            head.conv1x1.bias[1::2] += np.log(0.7 / 0.3) - surplus[40 * len(squares)]
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(model.state_dict(), path)
    return path


@pytest.mark.filterwarnings("ignore")  # of the package's
def test_detections_are_those_of_the_package_before_it_truncates(random_weights: Path, squares: list[Image]) -> None:
    from retinaface.predict_single import Model

    package: Any = Model(max_size=SIDE_PX, device="cpu")
    package.load_state_dict(read_resnet50(random_weights, random_weights.read_bytes()))
    package.eval()
    ours = RetinaFace(random_weights, long_side_px=SIDE_PX, backbone="resnet50").detect(squares)
    num_faces = 0
    for image, found in zip(squares, ours, strict=True):
        wanted = package.predict_jsons(image, confidence_threshold=0.7, nms_threshold=0.4)
        assert len(found) == len(wanted)
        for one, theirs in zip(found, wanted, strict=True):
            num_faces += 1
            assert one.score == pytest.approx(theirs["score"], abs=1e-4)
            assert np.abs(np.trunc(one.box) - theirs["bbox"]).max() <= 1  # a float32 may lie on either side of a number
            assert np.abs(one.box - theirs["bbox"]).max() < 1 + 1e-2
            assert np.abs(one.landmarks - theirs["landmarks"]).max() < 1 + 1e-2
    assert num_faces >= 3 * len(squares)


def _same(one: Detection, other: Detection) -> bool:
    return bool((one.box == other.box).all() and (one.landmarks == other.landmarks).all()) and one.score == other.score


def test_a_picture_gives_the_same_in_any_company(random_weights: Path, squares: list[Image]) -> None:
    detector = RetinaFace(random_weights, long_side_px=SIDE_PX, backbone="resnet50")
    wide = np.concatenate(squares[:2], axis=1)
    together = detector.detect([*squares, wide, squares[0]])
    alone = [detector.detect([image])[0] for image in [*squares, wide, squares[0]]]
    assert all(len(found) > 2 for found in alone)
    for found, wanted in zip(together, alone, strict=True):
        assert all(_same(a, b) for a, b in zip(found, wanted, strict=True))
    assert detector.scheme == "eyes-nose-mouth"


def test_prepare_says_and_records_the_backbone(
    random_weights: Path, squares: list[Image], tmp_path: Path, capsys: Capture
) -> None:
    from dfer_data.config import Request
    from dfer_data.preparation.request import resolve_request
    from dfer_data.preparation.run import run_preparation
    from dfer_data.storage.files import sha256_file

    for name in ("a", "b"):
        write_video(tmp_path / "videos" / f"{name}.mp4", squares)
    request = Request(
        dataset="folder", source=tmp_path / "videos", backbone="resnet50", weights=random_weights, det_size_px=160
    )
    for name, num_workers in (("inline", 0), ("workers", 2)):
        run_preparation(resolve_request(request), tmp_path / name, num_workers=num_workers)
    document = json.loads((tmp_path / "inline/dataset.json").read_bytes())
    assert document["config"]["backbone"] == "resnet50"
    assert document["config"]["weights_sha256"] == sha256_file(random_weights)
    assert {"torch", "torchvision", "retinaface-pytorch"} <= document["tool_versions"].keys()
    assert tree(tmp_path / "inline") == tree(tmp_path / "workers")
