"""The trial of the steps of `prepare`: it works here, and names the step that fails."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg

from dfer_data.detect.retinaface import RetinaFace
from dfer_data.inspection.self_check import Trial, self_check
from dfer_data.video.orientation import Uprighter
from dfer_data.weights.fetch import weights_file


def problems() -> dict[str, str | None]:
    return {trial.name: trial.problem for trial in self_check()}


def test_all_steps_work_here() -> None:
    weights_file("retinaface-mobilenet0.25")
    assert self_check() == (Trial("decode", None), Trial("detect", None), Trial("shard", None))


def test_a_decoder_that_takes_other_arguments_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def other_version(path: str, **options: object) -> None:
        raise TypeError("open() got an unexpected keyword argument 'container_options'")

    monkeypatch.setattr(av, "open", other_version)
    decode, *others = self_check()
    assert decode.problem == "TypeError: open() got an unexpected keyword argument 'container_options'"
    assert {trial.skipped for trial in others} == {"no frame was decoded"}


def test_a_decoder_that_gives_black_pictures_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Uprighter, "apply", lambda self, image: np.zeros_like(image))
    assert problems()["decode"] == "ValueError: the decoded frames are blank"


def test_without_the_model_file_detection_is_not_tried_and_nothing_is_fetched(empty_cache: Path) -> None:
    _, detect, shard = self_check()
    assert detect.skipped == "the model file is not in the cache: dfer weights fetch retinaface-mobilenet0.25"
    assert (detect.problem, shard.problem) == (None, None)
    assert not empty_cache.exists()


def test_a_network_that_finds_nothing_or_another_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    weights_file("retinaface-mobilenet0.25")
    monkeypatch.setattr(RetinaFace, "detect", lambda self, images: [[] for _ in images])
    assert problems()["detect"] == "ValueError: 0 faces were detected in a frame with one face"
    monkeypatch.undo()
    monkeypatch.setattr(
        "dfer_data.detect.retinaface.decode_landmarks", lambda points, anchors: points.reshape(-1, 5, 2)
    )
    assert "landmarks are off by" in (problems()["detect"] or "")


def test_a_codec_that_loses_the_picture_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = simplejpeg.encode_jpeg
    monkeypatch.setattr(simplejpeg, "encode_jpeg", lambda image, **options: encode(np.zeros_like(image), **options))
    assert (problems()["shard"] or "").startswith("ValueError: frame 0 changed by")
