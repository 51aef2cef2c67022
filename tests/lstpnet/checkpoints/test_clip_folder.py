from __future__ import annotations

import json
from pathlib import Path

import pytest

from lstpnet.checkpoints.clip_folder import check_tower, licence_of, tower_file
from lstpnet.errors import CheckpointError
from lstpnet.models.clip_vit import tower_config


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "licence not stated"),
        ({"README.md": "# A tower\n"}, "licence not stated"),
        ({"README.md": "---\nlicense: mit\n---\n# A tower\n"}, "licence mit (README.md)"),
        ({"README.md": "---\nlicense: other\nlicense_name: fair\n---\n"}, "licence fair (README.md)"),
        ({"README.md": "---\nlicense: [a\n---\n"}, "licence not stated"),
        ({"LICENSE": "\n# MIT License\n\nCopyright\n"}, "licence MIT License (LICENSE)"),
        ({"README.md": "---\ntags: x\n---\n", "LICENSE.txt": "Mine\n"}, "licence Mine (LICENSE.txt)"),
    ],
)
def test_the_licence_is_what_the_folder_states(files: dict[str, str], words: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert licence_of(tmp_path) == words


def test_the_config_must_describe_the_tower(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    assert tower_file(tmp_path) == tower_file(weights) == weights
    base = {"patch_size": 16, "model_type": "clip_vision_model"}  # as of OpenAI's ViT-B/16, the rest by default
    for document in (base, {"vision_config": base, "model_type": "clip"}):
        (tmp_path / "config.json").write_text(json.dumps(document))
        check_tower(tower_config("b16"), weights)
    with pytest.raises(CheckpointError, match=r"hidden_size = 768, not 1024; .*--set clip_tower=b16 or l14"):
        check_tower(tower_config("l14"), weights)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="is damaged"):
        check_tower(tower_config("b16"), weights)
