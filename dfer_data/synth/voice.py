"""Give rendered heads a voice whose loudness follows the opening of their jaw: a tone, or speech of espeak-ng.

Nothing here is random, so that the sound of a clip changes no picture: tones depend on person and performance alone,
speech also on the installed espeak-ng.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from dfer_data.synth.config import Sound
from dfer_data.synth.expressions import APEX, FPS, Performance
from dfer_data.types import Floats

VOICE_RATE = 48_000
"""Samples per second of rendered sound."""
_SHUT, _OPEN = 0.02, 0.5  # loudness with the mouth shut, and what a jaw opened by 1 adds
_LOWEST_HZ, _NUM_PITCHES = 110.0, 12  # of the tones, in steps of a semitone
_OVERTONES = (1.0, 0.5, 0.25)
_PROGRAM, _SENTENCE = "espeak-ng", "this face is rendered, and nobody speaks these words"


def check_voice(sound: Sound) -> None:
    """Raise UsageError for speech without espeak-ng."""
    if sound == "speech" and shutil.which(_PROGRAM) is None:
        raise UsageError(
            f"--sound speech: {_PROGRAM} is not installed; install it (`apt-get install {_PROGRAM}`), or use --sound "
            "tones"
        )


def voice(sound: Sound, performance: Performance, *, emotion: str, identity: int) -> Floats | None:
    """Return the sound of a clip, (N,) float32 from -1 to 1 at VOICE_RATE, as long as its frames; None for `none`.

    Raises UsageError where espeak-ng gives no speech.
    """
    if sound == "none":
        return None
    jaw = APEX[emotion].get("jawOpen", 0.0) * performance.intensity
    num_samples = round(len(jaw) / FPS * VOICE_RATE)
    times = np.arange(num_samples) / VOICE_RATE
    loudness = _SHUT + _OPEN * np.interp(times, (np.arange(len(jaw)) + 0.5) / FPS, jaw)
    carrier = _tone(times, identity) if sound == "tones" else np.resize(_speech(identity), num_samples)
    return np.asarray(np.clip(loudness * carrier, -1, 1), np.float32)


def _tone(times: npt.NDArray[np.float64], identity: int) -> Floats:
    """Return a tone of a person's own pitch with overtones, at most 1."""
    pitch_hz = _LOWEST_HZ * 2 ** (identity % _NUM_PITCHES / 12)
    waves = [share * np.sin(2 * np.pi * pitch_hz * (1 + n) * times) for n, share in enumerate(_OVERTONES)]
    return np.asarray(np.sum(waves, axis=0) / sum(_OVERTONES), np.float32)


@lru_cache(maxsize=2)
def _speech(identity: int) -> Floats:
    """Return a sentence in a person's own pitch at VOICE_RATE, at most 1."""
    command = [_PROGRAM, "--stdout", "-p", str(20 + identity * 7 % 60), _SENTENCE]
    done = subprocess.run(command, capture_output=True, check=False)
    try:
        with wave.open(io.BytesIO(done.stdout)) as file:
            rate = file.getframerate()
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")[:: file.getnchannels()] / 32768
        seconds = np.arange(round(len(samples) / rate * VOICE_RATE)) / VOICE_RATE
        resampled = np.interp(seconds, np.arange(len(samples)) / rate, samples)
        return np.asarray(resampled / np.abs(resampled).max(), np.float32)
    except (wave.Error, EOFError, ValueError, ZeroDivisionError) as error:
        reason = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0] or error
        raise UsageError(f"--sound speech: {_PROGRAM} gives no speech ({reason}); use --sound tones") from error
