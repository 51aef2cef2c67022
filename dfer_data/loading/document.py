"""dataset.json of strangers: read it with every check that readers rely on, and open the shards that it describes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dfer_data.errors import CorruptDataError, FormatVersionError, UsageError
from dfer_data.shards.identity import OFFICIAL_SET, is_fold_set
from dfer_data.shards.layout import (
    CLIPS_NAME,
    DATASET_NAME,
    FOLDS,
    FORMAT_VERSION,
    LEDGER_NAME,
    PLAN_NAME,
    PREVIEW,
    SHARDS,
    audio_name,
    fold_name,
    shard_name,
    sidecar_name,
)
from dfer_data.sources.catalog import catalog
from dfer_data.storage.files import COMMIT_NAME, own_sha256
from dfer_data.wording import counted

_MOST = 2**53
"""The largest number that is the same in all JSON readers."""
_MAX_SIZE_PX = 4096
_Rule = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_optional_sha256(value: Any) -> bool:
    return value == "" or _is_sha256(value)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | float) or (type(value) is int and abs(value) <= _MOST)


def _is_map_of(rule: _Rule) -> _Rule:
    return lambda value: isinstance(value, dict) and all(map(rule, value.values()))


def _is_list_of(rule: _Rule) -> _Rule:
    return lambda value: isinstance(value, list) and all(map(rule, value))


def _is_record(**rules: _Rule) -> _Rule:
    return lambda value: (
        isinstance(value, dict) and all(name in value and rule(value[name]) for name, rule in rules.items())
    )


_FILE = _is_record(num_bytes=_is_count, sha256=_is_sha256)
_INDEXED = _is_record(num_bytes=_is_count, sha256=_is_sha256, index_bytes=_is_count, index_crc32=_is_count)
_SHARD = _is_record(
    name=_is_text,
    num_clips=_is_count,
    num_bytes=_is_count,
    sha256=_is_sha256,
    index_bytes=_is_count,
    index_crc32=_is_count,
)
_COUNTS = _is_record(
    clips=_is_count,
    frames=_is_count,
    status=_is_map_of(_is_count),
    failures=_is_map_of(_is_count),
    classes=_is_map_of(_is_count),
    folds=_is_map_of(_is_map_of(_is_count)),
)


def _are_counts(value: Any) -> bool:
    """Return whether counts have their fields; some are there only where tracks can be left out, or with sound."""
    return _COUNTS(value) and all(_is_map_of(_is_count)(value.get(name, {})) for name in ("left_out", "audio"))


_RULES: Mapping[str, tuple[_Rule, str]] = {
    "dataset": (_is_text, "text"),
    "class_names": (_is_list_of(_is_text), "a list of names"),
    "layout": (lambda value: value in ("videos", "frames"), "videos or frames"),
    "synthetic": (lambda value: isinstance(value, bool), "true or false"),
    "recipe": (_is_text, "text"),
    "tool_versions": (_is_map_of(_is_text), "an object of texts"),
    "config_sha256": (_is_sha256, "a sha256"),
    "sha256": (_is_sha256, "a sha256"),
    "files": (_is_map_of(_FILE), "an object of files with num_bytes and sha256"),
    "shards": (_is_list_of(_SHARD), "a list of shards with their names, numbers and hashes"),
    "counts": (_are_counts, "an object of counts, each a whole number from 0"),
    "config": (_is_map_of(_is_scalar), "an object of settings"),
}
_FOLD_SET = _is_record(rule=_is_text, sha256=_is_optional_sha256, folds=_is_map_of(_is_map_of(_is_count)))
_OPTIONAL: Mapping[str, tuple[_Rule, str]] = {
    "pipeline_version": (_is_count, "a whole number"),
    "fold_rule": (_is_text, "text"),
    "content_sha256": (_is_sha256, "a sha256"),
    "labels_sha256": (_is_sha256, "a sha256"),
    "folds_sha256": (_is_optional_sha256, "a sha256 or empty"),
    "fold_sets": (_is_map_of(_FOLD_SET), "an object of sets of folds with rule, sha256 and sizes"),
    "history": (_is_list_of(_is_record(change=_is_text)), "a list of changes"),
}
_SETTINGS: Mapping[str, tuple[_Rule, str]] = {
    **{name: (_is_text, "text") for name in ("dataset", "detector", "backbone", "align")},
    "store": (lambda value: value in ("frames", "clips16"), "frames or clips16"),
    "size_px": (lambda value: type(value) is int and 1 <= value <= _MAX_SIZE_PX, f"1 to {_MAX_SIZE_PX}"),
    "weights_sha256": (_is_optional_sha256, "a sha256 or empty"),
    "audio": (lambda value: value is None or isinstance(value, bool), "true or false"),
}


def absence(root: Path) -> str:
    """Return why a folder is no prepared dataset, in brackets, and the next step."""
    if not root.is_dir():
        return f"({'it is a file' if root.exists() else 'no such folder'}); make it with `dfer prepare`"
    if (root / PLAN_NAME).is_file():
        return f"({DATASET_NAME} is missing); prepare has not finished here: run it again to resume"
    from dfer_data.storage.walk import first_below

    below = first_below(root, f"*/{DATASET_NAME}")
    hint = f"it holds {below}: name one" if below else "make it with `dfer prepare`"
    return f"({DATASET_NAME} is missing); {hint}"


def read_document(root: Path) -> dict[str, Any]:
    """Return dataset.json after checking its version, its own hash, and all that its readers rely on.

    Raises UsageError when it is missing or a command changes the dataset, FormatVersionError for a newer format,
    CorruptDataError for changed bytes and for content that no dfer writes.
    """
    path = root / DATASET_NAME
    refuse_change(root)
    if not path.is_file():
        raise UsageError(f"{root} is not a prepared dataset {absence(root)}")
    try:
        document = json.loads(path.read_bytes())
        version = document["format_version"]
        if not _is_count(version):
            raise ValueError(f"format_version is {version!r:.100}")
        sha256 = own_sha256(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptDataError(f"{path} is not a dataset.json of dfer: {_short(error)}") from error
    if version > FORMAT_VERSION:
        raise FormatVersionError(f"{path} has format version {version}, this dfer knows {FORMAT_VERSION}: update dfer")
    if sha256 != document.get("sha256"):
        raise CorruptDataError(f"{path} does not match its own sha256; restore it or prepare again")
    if fault := next(document_faults(document), ""):
        raise CorruptDataError(f"{path} {fault}; do not use this dataset: get it again, or prepare it")
    return dict(document)


def refuse_change(root: Path, document: Mapping[str, Any] | None = None) -> None:
    """Raise UsageError if a command changes a dataset, was killed while it did, or has changed it.

    `document`: its dataset.json as it was read before; None: only a change that is not finished counts.
    """
    if (root / COMMIT_NAME).is_file():
        raise UsageError(
            f"{root} is being changed by a command, or that was killed: wait for it, or run it again (`dfer status "
            f"{shlex.quote(str(root))}` says which is true)"
        )
    try:
        is_other = document is not None and json.loads((root / DATASET_NAME).read_bytes()) != document
    except FileNotFoundError:
        is_other = True
    except (OSError, ValueError, RecursionError):
        return
    if is_other:
        raise UsageError(f"{root} was changed by a command while it was read: open it again once that has finished")


def document_faults(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what readers rely on and a dataset.json with the right hash lacks."""
    if faults := list(_type_faults(document)):
        yield from faults
        return
    if document.get("format") != "dfer-dataset":
        yield f"has the format {_shown(document.get('format'))}, not dfer-dataset"
    names = [*document["files"], *(f"{SHARDS}/{facts['name']}" for facts in document["shards"])]
    if outside := [name for name in names if not is_below(name)]:
        yield f"names a file outside its folder: {outside[0]!r:.200}"
    if document["dataset"] not in catalog():
        yield f"has the dataset {_shown(document['dataset'])}, which this dfer does not know"
    if len(set(document["class_names"])) < len(document["class_names"]):
        yield "has a class name twice"
    yield from _shard_faults(document)
    yield from _count_faults(document)


def _type_faults(document: Mapping[str, Any]) -> Iterator[str]:
    rules = {**_RULES, **{name: rule for name, rule in _OPTIONAL.items() if name in document}}
    for name, (rule, words) in rules.items():
        if name not in document:
            yield f"has no {name}"
        elif not rule(document[name]):
            yield f"has {name} {_shown(document[name])}, which is not {words}"
    config = document.get("config")
    if isinstance(config, dict):
        for name, (rule, words) in _SETTINGS.items():
            if not rule(config.get(name)):
                yield f"has config.{name} {_shown(config.get(name))}, which is not {words}"


def _shard_faults(document: Mapping[str, Any]) -> Iterator[str]:
    files = document["files"]
    for number, facts in enumerate(document["shards"]):
        name = shard_name(number)
        if facts["name"] != name:
            yield f"names shard {number} {facts['name']!r:.200}, not {name}"
        expected = {key: facts[key] for key in ("num_bytes", "sha256")}
        if files.get(f"{SHARDS}/{name}.safetensors") != expected:
            yield f"has two descriptions of {SHARDS}/{name}.safetensors"
        least_bytes = 8 * (facts["num_clips"] + 2)  # the header's length, and the offsets of the clips
        if not least_bytes <= facts["index_bytes"] <= facts["num_bytes"] or facts["index_crc32"] >= 2**32:
            yield f"has impossible numbers for shard {name}"
        if missing := [path for path in (sidecar_name(number), f"{PREVIEW}/{name}.jpg") if path not in files]:
            yield f"lacks the hash of {missing[0]}"
        if document["config"].get("audio") or "audio" in facts:
            yield from _audio_faults(facts, files, number)


def _audio_faults(facts: Mapping[str, Any], files: Mapping[str, Any], number: int) -> Iterator[str]:
    audio, name = facts.get("audio"), audio_name(number)
    if not isinstance(audio, dict) or not _INDEXED(audio):
        yield f"has no description of {name}"
    elif files.get(name) != {key: audio[key] for key in ("num_bytes", "sha256")}:
        yield f"has two descriptions of {name}"
    elif not 8 <= audio["index_bytes"] <= audio["num_bytes"] or audio["index_crc32"] >= 2**32:
        yield f"has impossible numbers for {name}"


def _count_faults(document: Mapping[str, Any]) -> Iterator[str]:
    counts, files = document["counts"], document["files"]
    sets = {OFFICIAL_SET: counts["folds"]}
    sets |= {name: facts["folds"] for name, facts in document.get("fold_sets", {}).items()}
    if others := [name for name in sets if not is_fold_set(name)]:
        yield f"has a set of folds {others[0]!r:.200}: not a name of lower-case letters, digits, - and _"
    if others := [fold for sizes in sets.values() for fold in sizes if not re.fullmatch("[0-9]{1,255}", fold)]:
        yield f"has a fold {others[0]!r:.200}, which is not a number"
    if ("content_sha256" in document) != ("labels_sha256" in document) or (
        "content_sha256" in document and "folds_sha256" not in document
    ):
        yield "has only some of the hashes of clips, labels and folds"
    folds = {fold_name(fold, fold_set=name) for name, sizes in sets.items() for fold in sizes}
    if differing := sorted(folds ^ {name for name in files if name.startswith(f"{FOLDS}/")}):
        yield f"has a fold without its file, or the reverse: {differing[0]!r:.200}"
    if missing := [name for name in (CLIPS_NAME, LEDGER_NAME) if name not in files]:
        yield f"lacks the hash of {missing[0]}"
        return
    num_clips = sum(facts["num_clips"] for facts in document["shards"])
    num_failed = counts["status"].get("failed", 0)
    if num_failed > files[LEDGER_NAME]["num_bytes"]:
        yield f"counts {counted(num_failed, 'failed clip')}, more than {LEDGER_NAME} holds"
    if num_clips + num_failed != counts["clips"] or sum(counts["status"].values()) != counts["clips"]:
        yield (
            f"counts {counted(counts['clips'], 'clip')}, but {num_clips} in its shards and {num_failed} failed, and "
            f"{sum(counts['status'].values())} by status"
        )


def is_below(name: str) -> bool:
    """Return whether a path in dataset.json stays in its folder."""
    return not (name.startswith("/") or "\\" in name or "\0" in name or ".." in name.split("/"))


def _short(error: Exception) -> str:
    return repr(error) if len(repr(error)) < 300 else f"{type(error).__name__}"


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) < 100 else f"{text[:100]}..."
