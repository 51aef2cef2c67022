"""Rendered heads are as loud as their jaw is open, and no picture depends on their voice."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from dfer_data.errors import UsageError
from dfer_data.synth import SynthConfig, write_dfew
from dfer_data.synth.expressions import APEX, FPS, perform
from dfer_data.synth.studio import encode
from dfer_data.synth.voice import VOICE_RATE, check_voice, voice
from dfer_data.types import Floats
from tests.dfer_data.tiny import pictures

_ESPEAK = """#!{python}
import sys, wave
assert sys.argv[1:3] == ["--stdout", "-p"]
with wave.open(sys.stdout.buffer, "wb") as file:
    file.setparams((1, 2, 22050, 0, "NONE", ""))
    file.writeframes(b"".join(int(9000 * (-1) ** (i // 40)).to_bytes(2, "little", signed=True) for i in range(9000)))
"""


def loudness_per_frame(samples: Floats) -> Floats:
    """(T,) root mean square of each frame's sound."""
    per_frame = samples.reshape(-1, VOICE_RATE // FPS)
    return np.asarray(np.sqrt((per_frame**2).mean(axis=1)), np.float32)


@pytest.mark.parametrize("emotion", ["surprise", "fear", "happy"])
def test_it_is_loud_where_the_jaw_is_open(emotion: str) -> None:
    performance = perform(emotion, np.random.default_rng(3))
    samples = voice("tones", performance, emotion=emotion, identity=4)
    assert samples is not None
    jaw = APEX[emotion]["jawOpen"] * performance.intensity
    assert samples.shape == (len(jaw) * VOICE_RATE // FPS,)
    assert np.abs(samples).max() <= 1
    assert np.corrcoef(loudness_per_frame(samples), jaw)[0, 1] > 0.98


def test_a_shut_mouth_hums_quietly() -> None:
    performance = perform("neutral", np.random.default_rng(3))
    samples = voice("tones", performance, emotion="neutral", identity=0)
    assert samples is not None
    assert 0 < np.abs(samples).max() < 0.03


def test_the_pictures_do_not_depend_on_the_sound(tmp_path: Path) -> None:
    images = pictures(20)
    sound = np.linspace(-1, 1, 20 * VOICE_RATE // FPS, dtype=np.float32)
    for suffix, codec in ((".mp4", "libx264"), (".avi", "mpeg4"), (".flv", "flv")):
        decoded = []
        for name, samples in (("mute", None), ("loud", sound)):
            path = tmp_path / f"{name}{suffix}"
            encode(path, images, crf=23, codec=codec, sound=samples)
            with av.open(str(path)) as container:
                assert len(container.streams.audio) == (samples is not None)
                decoded.append([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        assert len(decoded[0]) == len(decoded[1]) == 20
        assert all((before == after).all() for before, after in zip(*decoded, strict=True))


def test_without_espeak_speech_is_one_error(tmp_path: Path, heads_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    config = SynthConfig(num_identities=10, takes=1, sound="speech")
    with pytest.raises(UsageError, match="--sound speech: espeak-ng is not installed"):
        write_dfew(tmp_path / "out", heads=heads_wheel, config=config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("script", "works"), [(_ESPEAK, True), ("#!/bin/sh\necho no voice >&2\nexit 1\n", False)])
def test_speech_is_shaped_by_the_jaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, works: bool) -> None:
    program = tmp_path / "espeak-ng"
    program.write_text(script.format(python=sys.executable) if works else script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    check_voice("speech")
    performance = perform("fear", np.random.default_rng(1))
    if not works:
        with pytest.raises(UsageError, match=r"espeak-ng gives no speech .no voice.; use --sound tones"):
            voice("speech", performance, emotion="fear", identity=98)
        return
    samples = voice("speech", performance, emotion="fear", identity=99)
    assert samples is not None
    assert np.corrcoef(loudness_per_frame(samples), performance.intensity)[0, 1] > 0.9
