"""The folder of a run: its files, and reading and writing run.json, config.json and metrics.jsonl.

    runs/<prepared folder>/<recipe>/fold-3/seed-0/
      run.json               the recipe and the data of the run, and the hashes of its files; canonical JSON, version 3
      config.json            settings, machine and dates, and the hashes of files that hold times; canonical JSON
      metrics.jsonl          one line per epoch
      predictions.parquet    clip_id, label (class name), checkpoint, control, has_face, logits; one row per test clip;
                             attention where the model has it

All files are written atomically. run.json marks a run as finished, so it is written last. Equal runs have equal bytes
in run.json and the files that it lists; config.json and metrics.jsonl hold dates and times, so config.json carries its
own hash and lists metrics.jsonl, and run.json holds the hash of its settings. Every reader checks what it reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dfer_data.errors import CorruptDataError, FormatVersionError, UsageError
from dfer_data.shards.identity import OFFICIAL_SET, DatasetIdentity, is_fold_set
from dfer_data.shards.layout import CARD_NAME
from dfer_data.storage.files import COMMIT_NAME, canonical_json
from dfer_data.storage.walk import entries_of, first_below
from dfer_data.wording import counted
from lstpnet.dataset_identity import DataKey, data_key
from lstpnet.predictions import CHECKPOINTS
from lstpnet.run_files import (
    NEXT_STEP,
    FileFacts,
    Files,
    check_file,
    check_own_sha256,
    check_sha256,
    facts_of,
    files_of,
    with_own_sha256,
    write_run_file,
)

FORMAT, RUN_FORMAT_VERSION = "dfer-run", 3
_FIRST_SEALED_VERSION = 2
"""Earlier run.json files hold no hashes."""
_FIRST_VERSION_WITH_LABELS = 3
"""Earlier run.json files have one hash of the whole dataset, and only runs on official folds."""
RUN_NAME, CONFIG_NAME, PREDICTIONS_NAME = "run.json", "config.json", "predictions.parquet"
METRICS_NAME, CHECKPOINTS_FOLDER = "metrics.jsonl", "checkpoints"
TEMPERATURES = "temperatures"
"""Key of config.json: checkpoint -> temperature fitted on the held-out clips; absent without such clips."""
GMAC, PREDICTION_MS = "gmac", "prediction_ms"
"""Keys of config.json: billions of multiply-adds for one clip (null for a custom model), and the milliseconds per clip
in which the test clips were predicted, reading included."""
Epochs = Sequence[Mapping[str, Any]]
"""Lines of metrics.jsonl."""
SYNTHETIC_DATA_NOTE = "synthetic heads: not comparable with published figures"
"""Goes with every score on clips of rendered heads."""
SYNTHETIC_MODEL_NOTE = "trained on rendered heads: says nothing about real faces"
"""Goes with every prediction of a model that was trained on rendered heads."""
UNVERIFIED_NOTE = "unverified: run.json holds no hashes; `dfer verify RUN --seal` adds them"
"""Goes with every score of a run without hashes, of dfer 0.1."""

_ID_ORDERS = ("", "ordered", "none seen")
_IDENTITY_FIELDS = {"labels_sha256": "", "folds_sha256": "", "fold_set": OFFICIAL_SET}
_LATER_FIELDS = {"pipeline_version": 1, "id_order": "", "num_withdrawn": 0, **_IDENTITY_FIELDS}
"""Fields of run.json that older dfers do not write -> what their absence means."""
_HASH_FIELDS = ("files", "settings_sha256", "is_unverified")


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """Content of run.json. Raises one UsageError with every fault in it."""

    dataset: str
    """Name of the dataset, e.g. `dfew`."""
    prepared: str
    """Name of the prepared folder, e.g. `dfew-retinaface`."""
    dataset_sha256: str
    """Hash of its clips, the `content_sha256` of its dataset.json; its `sha256` if that has no other hash."""
    recipe: str
    """Name of the recipe."""
    fold: int
    """Fold of the `fold_set`, numbered from 1."""
    seed: int
    """Random seed, 0 or more."""
    class_names: tuple[str, ...]
    """Class names, in the order of the logits."""
    n_train: int
    """Number of training clips."""
    n_val: int
    """Number of clips held out of train."""
    synthetic: bool
    """Whether the clips show rendered heads."""
    protocol: str
    """One line: selection, sampler, short-clip rule, ..."""
    checkpoints: tuple[str, ...]
    """The checkpoints, from CHECKPOINTS, that predicted the test part."""
    finished: bool
    """False during training."""
    pipeline_version: int = 1
    """The `pipeline_version` of its dataset.json; run.json of dfer 0.1 has none, which means 1."""
    id_order: str = ""
    """Verdict of the lag-1 test on the whole prepared dataset: `ordered` or `none seen`; empty in older runs."""
    labels_sha256: str = ""
    """Hash of its labels; empty in older runs, in which `dataset_sha256` also covers labels and folds."""
    folds_sha256: str = ""
    """Hash of its set of folds; empty in older runs."""
    fold_set: str = OFFICIAL_SET
    """Name of the set of folds."""
    num_withdrawn: int = 0
    """Number of test clips whose predictions were removed after the training, because the clips were withdrawn."""
    files: Files = field(default_factory=dict, compare=False, repr=False)
    """Hashes of the run's files, as read from run.json; `write_run` computes them."""
    settings_sha256: str | None = field(default=None, compare=False, repr=False)
    """Hash of the `settings` in config.json, as read from run.json; None for a run without config.json."""
    is_unverified: bool = field(default=False, compare=False, repr=False)
    """Whether it was read from a run.json without hashes, of dfer 0.1."""

    def __post_init__(self) -> None:
        """Check all values and raise every fault in one UsageError."""
        faults = [
            f"{name} = {getattr(self, name)!r} must be text"
            for name in ("dataset", "prepared", "dataset_sha256", "recipe")
            if not isinstance(getattr(self, name), str) or not getattr(self, name)
        ]
        if isinstance(self.prepared, str) and set(self.prepared) & {"/", "\\", "\0"}:
            faults.append(f"prepared = {self.prepared!r} must be a folder name")
        least_values = {"fold": 1, "seed": 0, "n_train": 0, "n_val": 0, "pipeline_version": 1, "num_withdrawn": 0}
        for name, least in least_values.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                faults.append(f"{name} = {value!r} must be a whole number, {least} or more")
        for name in ("synthetic", "finished"):
            if type(getattr(self, name)) is not bool:
                faults.append(f"{name} = {getattr(self, name)!r} must be true or false")
        if not isinstance(self.protocol, str) or len(self.protocol.splitlines()) > 1:
            faults.append(f"protocol = {self.protocol!r} must be one line")
        faults += self._identity_faults()
        if self.id_order not in _ID_ORDERS:
            faults.append(f"id_order = {self.id_order!r} must be {', '.join(_ID_ORDERS[1:])} or empty")
        faults += _list_faults("class_names", self.class_names, known=None, least=2)
        faults += _list_faults("checkpoints", self.checkpoints, known=CHECKPOINTS, least=int(self.finished is True))
        if faults:
            raise UsageError("; ".join(faults))

    def _identity_faults(self) -> list[str]:
        hashes = {name: getattr(self, name) for name in ("labels_sha256", "folds_sha256")}
        faults = [f"{name} = {value!r} must be text" for name, value in hashes.items() if not isinstance(value, str)]
        if not faults and any(hashes.values()) and not all(hashes.values()):
            faults.append("labels_sha256 and folds_sha256: both must be set, or none")
        if not isinstance(self.fold_set, str) or not is_fold_set(self.fold_set):
            faults.append(f"fold_set = {self.fold_set!r} must be the name of a set of folds")
        return faults

    @property
    def identity(self) -> DatasetIdentity:
        """Hashes of the clips, labels and folds; in older runs one hash stands for all three."""
        whole = self.dataset_sha256
        return DatasetIdentity(whole, self.labels_sha256 or whole, self.folds_sha256 or whole)

    @property
    def has_predictions(self) -> bool:
        """Whether it is finished and any of its test clips is left."""
        return self.finished and (self.is_unverified or PREDICTIONS_NAME in self.files)

    @property
    def data_key(self) -> DataKey:
        """The data of the run: runs on other data are never combined with it."""
        return data_key(self.prepared, self.identity, self.fold_set)

    def as_dict(self) -> dict[str, Any]:
        """Return run.json's content, without the hashes."""
        lists = {name: list(getattr(self, name)) for name in ("class_names", "checkpoints")}
        facts = {name: value for name, value in asdict(self).items() if name not in _HASH_FIELDS}
        facts = facts if self.num_withdrawn else {name: facts[name] for name in facts if name != "num_withdrawn"}
        return {"format": FORMAT, "format_version": RUN_FORMAT_VERSION, **facts, **lists}


def _list_faults(name: str, values: Any, *, known: Sequence[str] | None, least: int) -> list[str]:
    if not isinstance(values, tuple) or not all(isinstance(value, str) and value for value in values):
        return [f"{name} = {values!r} must be a list of names"]
    faults = [f"{name} has no {value!r}; known: {' '.join(known)}" for value in values if known and value not in known]
    if len(set(values)) < len(values):
        faults.append(f"{name} lists a name twice: {' '.join(values)}")
    if len(values) < least:
        faults.append(f"{name} has {counted(len(values), 'name')}, {least} or more are needed")
    return faults


def write_run(folder: Path, info: RunInfo, *, files: Files | None = None) -> None:
    """Write run.json with the hashes of the run's files, replacing an older one.

    `files`: facts of the files as they were written; None reads them from the folder. Raises UsageError for a finished
    run without its predictions.
    """
    if info.finished and not (folder / PREDICTIONS_NAME).is_file():
        raise UsageError(f"{folder} cannot be marked as finished: {PREDICTIONS_NAME} must be written first")
    write_run_file(
        folder / RUN_NAME, run_bytes(folder, info, files=_known_files(folder, info) if files is None else files)
    )


def run_bytes(folder: Path, info: RunInfo, *, files: Files) -> bytes:
    """Return run.json as bytes; `files`: facts of the run's files, of a run that is not finished they are left out."""
    hashes: dict[str, Any] = {"files": {}, "settings_sha256": None}
    if info.finished:
        hashes["files"] = {name: asdict(facts) for name, facts in sorted(files.items())}
        if (folder / CONFIG_NAME).is_file():
            hashes["settings_sha256"] = _settings_sha256(_parse_config(folder / CONFIG_NAME))
    return canonical_json(with_own_sha256(info.as_dict() | hashes))


def _known_files(folder: Path, info: RunInfo) -> Files:
    """Return the facts of the files that run.json lists, as they are on disk; none of a run that is not finished."""
    if not info.finished:
        return {}
    weights = entries_of(folder / CHECKPOINTS_FOLDER)
    paths = [folder / PREDICTIONS_NAME, *(path for path in weights if path.suffix in (".safetensors", ".json"))]
    paths += [path for path in (folder / CARD_NAME,) if path.is_file()]
    return {path.relative_to(folder).as_posix(): facts_of(path.read_bytes()) for path in paths}


def withdrawn_words(number: int) -> str:
    """Return the caveat of a run that lost test clips after its training."""
    are = "clip was" if number == 1 else "clips were"
    return f"{number} {are} withdrawn after this training, scored on the rest"


def write_config(folder: Path, config: Mapping[str, Any], *, names: Sequence[str] = ()) -> None:
    """Write config.json with its own hash and those of the files `names`, replacing an older one."""
    files = {name: asdict(facts_of((folder / name).read_bytes())) for name in names}
    write_run_file(folder / CONFIG_NAME, canonical_json(with_own_sha256({**config, "files": files})))


def read_config(folder: Path, info: RunInfo | None = None) -> dict[str, Any]:
    """Return the content of config.json; {} without the file in a run whose run.json holds no hash of its settings.

    `info`: content of the run's run.json. Raises CorruptDataError if config.json is damaged or does not match it.
    """
    path = folder / CONFIG_NAME
    settings_sha256 = None if info is None else info.settings_sha256
    try:
        config = _parse_config(path)
        if "sha256" in config or (info is not None and not info.is_unverified):
            check_own_sha256(config)
            files_of(config)
        is_sealed = info is not None and info.finished and not info.is_unverified
        if is_sealed and _settings_sha256(config) != settings_sha256:
            raise ValueError(f"its settings do not match their sha256 in {RUN_NAME}")
        return config
    except FileNotFoundError:
        if settings_sha256 is None:
            return {}
        raise CorruptDataError(f"{path} is missing; {NEXT_STEP}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptDataError(f"{path} is damaged: {_words(error)}; {NEXT_STEP}") from error


def _parse_config(path: Path) -> dict[str, Any]:
    config = dict(json.loads(path.read_bytes()))
    if not isinstance(config["settings"], dict):
        raise ValueError("its settings are not a table")
    return config


def _settings_sha256(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(config["settings"])).hexdigest()


def _words(error: Exception) -> str:
    return str(error) if type(error) is ValueError else repr(error)


def read_run(folder: Path) -> RunInfo:
    """Read run.json and check it against its own hash; one without hashes, of dfer 0.1, is marked as unverified.

    Raises UsageError if it is missing, FormatVersionError or CorruptDataError for its content.
    """
    path = folder / RUN_NAME
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise ValueError(f"format is {content['format']!r}, not {FORMAT!r}")
        version = content["format_version"]
        if type(version) is not int or version < 1:
            raise ValueError(f"format_version = {version!r} must be a whole number, 1 or more")
        if version > RUN_FORMAT_VERSION:
            raise FormatVersionError(
                f"{path} has format version {version}, this dfer knows {RUN_FORMAT_VERSION}: update dfer"
            )
        if version >= _FIRST_VERSION_WITH_LABELS and (missing := sorted(_IDENTITY_FIELDS.keys() - content.keys())):
            raise KeyError(missing[0])
        return _info_of(content, has_hashes=version >= _FIRST_SEALED_VERSION)
    except FileNotFoundError as error:
        below = first_below(folder, f"**/{RUN_NAME}")
        hint = f"name a run below it: {below}" if below else "make one with `dfer train`"
        raise UsageError(f"{folder} is not a run ({RUN_NAME} is missing); {hint}") from error
    except KeyError as error:
        raise CorruptDataError(f"{path} is damaged: {error} is missing; {NEXT_STEP}") from error
    except FormatVersionError:
        raise
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, UsageError) as error:
        raise CorruptDataError(f"{path} is damaged: {error}; {NEXT_STEP}") from error


def is_half_withdrawn(folder: Path) -> bool:
    """Return whether clips are being withdrawn from a run, or were when their withdrawal was interrupted."""
    return (folder / COMMIT_NAME).is_file()


def refuse_half_withdrawn(folder: Path) -> None:
    """Raise CorruptDataError for a run whose files change in a withdrawal; a copy of them would bring clips back."""
    if is_half_withdrawn(folder):
        raise CorruptDataError(
            f"{folder / RUN_NAME} is about other clips than its run: clips are being withdrawn from it; if no `dfer "
            "remove` is running, run the same one again, which finishes"
        )


def _info_of(content: Mapping[str, Any], *, has_hashes: bool) -> RunInfo:
    """Return the content of run.json. Raises KeyError, ValueError, TypeError or UsageError if it is invalid."""
    if not has_hashes and (hashes := sorted(content.keys() & {"sha256", "files", "settings_sha256"})):
        raise ValueError(f"a file of its format version has no {hashes[0]}")
    names = [name for name in RunInfo.__dataclass_fields__ if name not in _HASH_FIELDS]
    values = {
        name: content.get(name, _LATER_FIELDS[name]) if name in _LATER_FIELDS else content[name] for name in names
    }
    values |= {"is_unverified": not has_hashes}
    values |= {name: _as_tuple(values[name]) for name in ("class_names", "checkpoints")}
    if not has_hashes:
        return RunInfo(**values)
    settings_sha256 = content["settings_sha256"]
    if settings_sha256 is not None:
        check_sha256("settings_sha256", settings_sha256)
    info = RunInfo(**values, files=files_of(content), settings_sha256=settings_sha256)
    check_own_sha256(content)
    if info.finished and not info.has_predictions and not info.num_withdrawn:
        raise ValueError(f"it does not list {PREDICTIONS_NAME}")
    return info


def run_of_checkpoint(path: Path) -> RunInfo | None:
    """Return run.json of the run, finished or not, that a checkpoint file is of; None for a file elsewhere.

    A file that a finished run does not list is not of it.
    """
    folder = path.parent.parent
    if path.parent.name != CHECKPOINTS_FOLDER or not (folder / RUN_NAME).is_file():
        return None
    info = read_run(folder)
    lists_files = info.finished and not info.is_unverified
    return None if lists_files and f"{CHECKPOINTS_FOLDER}/{path.name}" not in info.files else info


def listed_facts(path: Path) -> FileFacts | None:
    """Return the facts that run.json lists for one of its checkpoint files; None for a file elsewhere."""
    info = run_of_checkpoint(path)
    return None if info is None else info.files.get(f"{CHECKPOINTS_FOLDER}/{path.name}")


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def read_epochs(folder: Path, info: RunInfo | None = None) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl; [] without the file in a run without hashes.

    `info`: of the finished run, whose hash of the file must match. Raises CorruptDataError if it is damaged.
    """
    path = folder / METRICS_NAME
    facts: FileFacts | None = None
    if info is not None and info.settings_sha256 is not None:
        facts = files_of(read_config(folder, info)).get(METRICS_NAME)
    try:
        content = check_file(path, path.read_bytes(), facts)
        return [dict(json.loads(line)) for line in content.splitlines()]
    except FileNotFoundError:
        if facts is None:
            return []
        raise CorruptDataError(f"{path} is missing; {NEXT_STEP}") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CorruptDataError(f"{path} is damaged: {error!r}; {NEXT_STEP}") from error
