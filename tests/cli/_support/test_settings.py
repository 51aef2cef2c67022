from __future__ import annotations

from pathlib import Path

import pytest

from dfer_cli._support import settings as _settings
from dfer_data.errors import UsageError


def write(folder: Path, text: str) -> Path:
    (folder / "dfer.toml").write_text(text, encoding="utf-8")
    return folder


def test_no_file_is_no_setting(tmp_path: Path) -> None:
    assert _settings.load_settings(tmp_path) == _settings.Settings()


def test_every_known_key_is_read(tmp_path: Path) -> None:
    text = (
        '\ufeff[prepare]\nsource = "videos"\nout = "p"\ndetector = "dlib"\nbackbone = "resnet50"\nworkers = 3\n'
        '[train]\ndata = "p"\nrecipe = "demo"\nout = "r"\n'
    )
    settings = _settings.load_settings(write(tmp_path, text))
    assert settings.prepare == _settings.PrepareSettings(Path("videos"), Path("p"), "dlib", "resnet50", 3)
    assert settings.train == _settings.TrainSettings(Path("p"), "demo", Path("r"))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = 'train = 1\n[prepare]\ndetektor = "x"\nworkers = true\nsource = 4\nout = ""\n[evaluate]\n'
    with pytest.raises(UsageError) as caught:
        _settings.load_settings(write(tmp_path, text))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'dfer.toml'} has 6 faults: ")
    for part in ("[evaluate]", "'detektor'", "workers = True", "source = 4", "out = ''", "train must be a table"):
        assert part in message


@pytest.mark.parametrize("content", [b"[prepare", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dfer.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"dfer\.toml cannot be read"):
        _settings.load_settings(tmp_path)


def test_flag_beats_environment_beats_file_beats_default(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings.Settings(prepare=_settings.PrepareSettings(source=Path("from-file")))
    monkeypatch.setenv("DFER_DATA", "/from/env")
    flag = _settings.dataset_folder("dfew", flag=Path("from-flag"), settings=settings)
    environment = _settings.dataset_folder("dfew", settings=settings)
    monkeypatch.delenv("DFER_DATA")
    file = _settings.dataset_folder("dfew", settings=settings)
    default = _settings.dataset_folder("dfew", settings=_settings.Settings())
    assert [flag, environment, file, default] == [
        Path("from-flag"),
        Path("/from/env/dfew"),
        Path("from-file"),
        Path("data/dfew"),
    ]
