from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from dfer_cli._support import settings as _settings
from dfer_data.errors import UsageError
from dfer_data.preparation.run_settings import PREPARE_SETTINGS
from dfer_data.settings import settings_of


def write(folder: Path, text: str) -> Path:
    (folder / "dfer.toml").write_text(text, encoding="utf-8")
    return folder


def test_no_file_is_no_setting(tmp_path: Path) -> None:
    assert _settings.load_settings(tmp_path) == {}


def test_every_known_key_is_read(tmp_path: Path) -> None:
    text = (
        '\ufeff[prepare]\nsource = "videos"\nout = "p"\ndetector = "dlib"\nbackbone = "resnet50"\nworkers = 3\n'
        '[train]\ndata = "p"\nrecipe = "demo"\nout = "r"\n'
    )
    settings = _settings.load_settings(write(tmp_path, text))
    files = {"source": Path("videos"), "out": "p", "detector": "dlib", "backbone": "resnet50", "workers": 3}
    assert settings["prepare"] == files
    assert settings["train"] == {"data": "p", "recipe": "demo", "out": Path("r")}


def test_every_setting_of_prepare_can_stand_in_the_file(tmp_path: Path) -> None:
    declared = [item for kind in PREPARE_SETTINGS for item in settings_of(kind).values() if not item.once]
    lines = {item.name: item.default for item in declared if item.default not in (None, dataclasses.MISSING)}
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
    assert _settings.load_settings(write(tmp_path, "[prepare]\n" + text))["prepare"] == lines


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = 'train = 1\n[prepare]\ndetektor = "x"\nworkers = true\nsource = 4\nout = ""\n[evaluate]\n'
    with pytest.raises(UsageError) as caught:
        _settings.load_settings(write(tmp_path, text))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'dfer.toml'} has 6 faults: ")
    for part in ("[evaluate]", "'detektor'", "workers = True", "source = 4", "out = ''", "train must be a table"):
        assert part in message


@pytest.mark.parametrize("content", [b"[prepare", b"\xff\xfe", b"a=" + b"1" * 5000, b"a=" + b"[" * 5000])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dfer.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"dfer\.toml cannot be read"):
        _settings.load_settings(tmp_path)


def test_flag_beats_environment_beats_file_beats_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = Path("from-file")
    monkeypatch.setenv("DFER_DATA", "/from/env")
    flag = _settings.dataset_folder("dfew", given=Path("from-flag"), from_file=from_file)
    environment = _settings.dataset_folder("dfew", from_file=from_file)
    monkeypatch.delenv("DFER_DATA")
    file = _settings.dataset_folder("dfew", from_file=from_file)
    default = _settings.dataset_folder("dfew")
    assert [flag, environment, file, default] == [
        Path("from-flag"),
        Path("/from/env/dfew"),
        Path("from-file"),
        Path("data/dfew"),
    ]
