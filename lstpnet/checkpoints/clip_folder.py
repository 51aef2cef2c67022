"""Folders of CLIP as transformers saves them: config.json, model.safetensors, and what says their licence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lstpnet.errors import CheckpointError

_CONFIG_NAME, _WEIGHTS_NAME = "config.json", "model.safetensors"
LICENCE_NOT_STATED = "licence not stated"
_DEFAULTS = {
    **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    **{"image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
}
"""Transformers' values of what a config.json leaves out."""
_MAX_CHARACTERS = 100


def tower_file(path: Path) -> Path:
    """Return the weights in a folder that transformers saved, or the path itself if it is no folder."""
    return path / _WEIGHTS_NAME if path.is_dir() else path


def check_tower(config: Mapping[str, Any], path: Path) -> None:
    """Raise CheckpointError unless the config.json next to the weights `path` describes the tower of `config`."""
    file = path.with_name(_CONFIG_NAME)
    try:
        document = json.loads(file.read_bytes())
        found = _DEFAULTS | dict(document.get("vision_config") or document)
    except FileNotFoundError:
        raise CheckpointError(
            f"--init: no {file}; CLIP's weights need the {_CONFIG_NAME} that transformers saved with them"
        ) from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"--init: {file} is damaged: {error}") from error
    faults = [f"{key} = {found.get(key)!r}, not {value!r}" for key, value in config.items() if found.get(key) != value]
    if faults:
        hint = "--set clip_tower=b16 or l14 selects the tower"
        raise CheckpointError(f"--init: {file} describes another tower than this network's", faults, hint=hint)


def licence_of(folder: Path) -> str:
    """Return the licence that a folder states, with the name of its file; `licence not stated` if it states none."""
    return next(_stated(folder), LICENCE_NOT_STATED)


def _stated(folder: Path) -> Iterator[str]:
    metadata = _card_metadata(_text(folder / "README.md"))
    words = [metadata.get(key) for key in ("license_name", "license") if isinstance(metadata.get(key), str)]
    if words:
        yield f"licence {_line(words[0])} (README.md)"
    for name in ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"):
        lines = [line.strip("# \t") for line in _text(folder / name).splitlines()]
        yield from (f"licence {_line(line)} ({name})" for line in [line for line in lines if line][:1])


def _card_metadata(text: str) -> Mapping[str, Any]:
    """Return the front matter of a model card; {} without one."""
    import yaml

    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip("\ufeff \n"):
        return {}
    try:
        metadata = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _line(text: Any) -> str:
    return " ".join(str(text).split())[:_MAX_CHARACTERS]
