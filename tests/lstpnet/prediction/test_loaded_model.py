"""A trained model from Python: clips, a video, features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import dfer_data as dd
import lstpnet
from dfer_data.errors import UsageError
from tests.lstpnet.conftest import Done, synthetic_copy


def test_clips_get_the_probabilities_of_the_run(plain: Done, crops: Path) -> None:
    run = lstpnet.open_run(plain.folder)
    model = lstpnet.load_model(run, device="cpu")
    part = run.predictions[0]
    seen = [i for i, has_face in enumerate(part.has_face) if has_face][:4]
    clips = dd.FaceClipDataset(crops, clip_ids=[part.clip_ids[i] for i in seen], size_px=model.size_px)
    found = model.predict(torch.stack([item.frames for item in clips]))  # type: ignore[attr-defined]
    wanted = torch.softmax(torch.from_numpy(part.logits[seen]), dim=1).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    np.testing.assert_allclose(model.predict(clips[0].frames.float() / 255), wanted[:1], atol=1e-4)
    np.testing.assert_allclose(model.predict(clips[0].frames.numpy()), wanted[:1], atol=1e-4)
    assert repr(model) == f"LoadedModel(demo: {', '.join(run.info.class_names)}; 32 px, cpu)"


def test_float64_clips_are_those_of_float32_and_other_clips_are_refused(plain: Done) -> None:
    model = lstpnet.load_model(plain.folder, device="cpu")
    clips = np.random.default_rng(0).random((2, 16, 3, 32, 32))
    np.testing.assert_array_equal(model.predict(clips), model.predict(clips.astype(np.float32)))
    with pytest.raises(UsageError, match=r"clips are torch\.int64; expected uint8, or float in 0\.\.1"):
        model.predict((255 * clips).astype(np.int64))
    with pytest.raises(UsageError, match=r"clips have shape \(0, 16, 3, 32, 32\)"):
        model.predict(clips[:0])
    with pytest.raises(UsageError, match=r"clips have shape \(2, 16, 3, 16, 16\): "):
        model.predict(clips[..., :16, :16])


def test_a_model_of_rendered_heads_says_so(plain: Done, tmp_path: Path) -> None:
    model = lstpnet.load_model(synthetic_copy(plain.folder, tmp_path / "run"), device="cpu")
    assert model.is_synthetic
    assert repr(model).endswith("32 px, cpu; trained on rendered heads: says nothing about real faces)")


def test_a_video_gives_its_persons(plain: Done, real_videos: dict[str, Path]) -> None:
    (person,) = lstpnet.load_model(plain.folder, device="cpu").predict_video(real_videos["single_face.mp4"])
    assert person.mean_probabilities.shape == (7,)


def test_features_of_a_dataset(plain: Done, crops: Path) -> None:
    found = lstpnet.load_model(plain.folder, device="cpu").features(crops, ["00001", "00016"])
    assert found.clip_ids == ("00001",)  # the other has no face
    assert found.frames is not None
    assert (found.clips.shape, found.frames.shape) == ((1, 64), (1, 16, 64))


def test_faults_are_one_line(plain: Done, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such run or model"):
        lstpnet.load_model(tmp_path / "nothing")
    model = lstpnet.load_model(plain.folder, device="cpu")
    with pytest.raises(UsageError, match=r"clips have shape \(3, 32, 32\)"):
        model.predict(torch.zeros(3, 32, 32))
    with pytest.raises(UsageError, match="a video needs a detector"):
        model.predict_video("video.mp4", detector="none")
