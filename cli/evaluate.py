"""`dfer evaluate` and `dfer features`: run a trained model on any prepared dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.errors import UsageError
from dfer_data.shards.identity import OFFICIAL_SET
from dfer_data.wording import counted
from lstpnet.checkpoints.model_settings import ModelSettings, RuntimeSettings
from lstpnet.dataset_identity import FoldSettings

from ._support import console
from ._support.model_choice import require_model
from ._support.options import JsonFlag, refuse_targets, require_torch
from ._support.setting_options import own_settings, takes_settings

if TYPE_CHECKING:
    import torch

    from dfer_data.loading.prepared import PreparedDataset
    from dfer_data.shards.identity import DatasetIdentity
    from lstpnet.checkpoints.open_model import OpenedModel
    from lstpnet.evaluation.cross_dataset import CrossResult
    from lstpnet.evaluation.features import Features

Source = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="Folder of a finished run, exported .onnx, or a checkpoint of the authors' code."
    ),
]
Data = Annotated[str, typer.Option(help="Prepared dataset, a folder or URL.")]
Fold = Annotated[
    str | None,
    typer.Option(help="Only the test clips of folds: 3, or 1,3, or all.", show_default="every clip"),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Setting of the test: num_frames, sampler, sample_by, short, min_frames, batch_size, model.",
    ),
]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu.", show_default="the best available")]


@takes_settings(FoldSettings, ModelSettings, RuntimeSettings)
def evaluate(
    source: Source,
    data: Data,
    fold: Fold = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="lstpnet, former-dfer, dfer-clip or mae-dfer: test clips and frames of that paper."),
    ] = None,
    overrides: Overrides = None,
    is_masked: Annotated[bool, typer.Option("--mask", help="Predict only the dataset's classes.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="CSV of the predictions, readable by `dfer report --predictions`.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the CSV.")] = False,
    device: Device = None,
    as_json: JsonFlag = False,
    *,
    given: dict[str, Any],
) -> None:
    """Test a trained model on any prepared dataset.

    Classes are matched by name. Clips of classes unknown to the model are left out and counted. A clip without a
    face is predicted by the prior of its fold's train part, as in `dfer report`; without --fold it counts as wrong.
    """
    require_torch()
    from lstpnet.evaluation.computation import with_runtime
    from lstpnet.evaluation.cross_dataset import evaluate_on

    runtime = RuntimeSettings(**own_settings(RuntimeSettings, given)).runtime
    opened, tested = _open(source, data, fold, protocol, overrides, given=given)
    dataset = tested.dataset
    if out is not None:
        refuse_targets(out, force=force)
    opened, torch_device = with_runtime(opened, runtime, device=device)
    _warn_if_synthetic(source, dataset, opened)
    num_trained = _warn_if_trained(source, tested)
    with console.progress("evaluating", unit="clips") as advance:
        result = evaluate_on(
            opened,
            dataset,
            tested.clip_ids,
            is_masked=is_masked,
            device=torch_device,
            folds=tested.folds,
            fold_set=tested.fold_set,
            on_progress=advance,
        )
    if out is not None:
        has_same_classes = set(opened.class_names) == set(dataset.class_names)
        _write(out, result, opened.class_names, has_same_classes=has_same_classes)
    facts = {"clips_of_its_train_part": num_trained}
    _print_result(source, tested, opened, result, torch_device, facts, is_masked=is_masked, as_json=as_json)


def _warn_if_synthetic(source: Path, dataset: PreparedDataset, opened: OpenedModel) -> None:
    from lstpnet.runs import SYNTHETIC_DATA_NOTE, SYNTHETIC_MODEL_NOTE

    if opened.is_synthetic:
        console.warn(f"{source} was {SYNTHETIC_MODEL_NOTE}")
    if dataset.document["synthetic"]:
        console.warn(f"{dataset.root} shows {SYNTHETIC_DATA_NOTE}")


def _warn_if_trained(source: Path, tested: _Tested) -> int:
    """Return how many of the tested clips a run was trained on, and warn of them; 0 for files, which do not say."""
    from lstpnet.dataset_identity import fold_words
    from lstpnet.evaluation.cross_dataset import num_in_train
    from lstpnet.runs import read_run

    if not source.is_dir():
        return 0
    info = read_run(source)
    number = num_in_train(info, tested.dataset, tested.clip_ids)
    if number:
        fold = fold_words(info.fold, info.fold_set)
        console.warn(
            f"{source} was trained on {number:,} of {counted(len(tested.clip_ids), 'clip')}, of the train part of "
            f"{fold}: the figures are too high; --fold {info.fold} tests the others"
        )
    return number


@takes_settings(FoldSettings, ModelSettings)
def features(
    source: Source,
    data: Data,
    out: Annotated[Path, typer.Option(help="File to write, .npz or .parquet.")],
    fold: Fold = None,
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    device: Device = None,
    *,
    given: dict[str, Any],
) -> None:
    """Write the feature vectors of clips and of their frames.

    Those of a clip are the classifier's input, those of a frame the backbone's output, if the network has it.
    """
    require_torch()
    from lstpnet.checkpoints.trained_run import custom_model_of
    from lstpnet.device import pick_device
    from lstpnet.evaluation.features import features_of
    from lstpnet.models.clip_network import ClipNetwork

    if out.suffix not in (".npz", ".parquet"):
        raise UsageError(f"{out} must end in .npz or .parquet")
    refuse_targets(out, force=force)
    if source.is_dir() and custom_model_of(source):  # its code need not run
        raise UsageError(f"{source} holds a custom model; only dfer's networks have these features")
    opened, tested = _open(source, data, fold, None, overrides, given=given)
    dataset, clip_ids = tested.dataset, tested.clip_ids
    if not isinstance(opened.model, ClipNetwork):
        raise UsageError(f"{source} is an exported model, which has no features; name the run itself")
    rows = dataset.index(clip_ids)
    face_ids = [i for i, status in zip(clip_ids, rows["status"].to_pylist(), strict=True) if status != "failed"]
    options: dict[str, Any] = {"recipe": opened.recipe, "device": pick_device(device)}
    with console.progress("features", unit="clips") as advance:
        vectors = features_of(opened.model, dataset, face_ids, on_progress=advance, **options)
    _write_features(out, vectors)
    num_left_out = len(clip_ids) - len(face_ids)
    counts = (
        f"{counted(len(face_ids), 'clip')} of {counted(opened.recipe.num_frames, 'frame')}, vectors of "
        f"{vectors.clips.shape[1]}"
    )
    counts += "" if vectors.frames is not None else f"; {opened.recipe.model} has none of single frames"
    console.say(
        f"{out}: {counts}" + (f"; {counted(num_left_out, 'clip')} without a face left out" if num_left_out else "")
    )


def _write_features(out: Path, vectors: Features) -> None:
    """Write the vectors as .npz or .parquet; the file appears whole or not at all."""
    import numpy as np
    import pandas as pd

    from dfer_data.storage.files import atomic_file

    with atomic_file(out) as file:
        if out.suffix == ".npz":
            names = (
                "clip_ids",
                "labels",
                "clips",
                "frame_numbers",
                *(["frames"] if vectors.frames is not None else []),
            )
            np.savez(file, **{name: getattr(vectors, name) for name in names})
        else:
            columns = {"clip_id": vectors.clip_ids, "label": vectors.labels, "clip": list(vectors.clips)}
            of_frames = {} if vectors.frames is None else {"frames": [list(frames) for frames in vectors.frames]}
            table = pd.DataFrame(columns | of_frames | {"frame_numbers": vectors.frame_numbers.tolist()})
            file.write(table.to_parquet(None, index=False))


def _open(
    source: Path,
    data: str,
    fold: str | None,
    protocol: str | None,
    overrides: list[str] | None,
    *,
    given: dict[str, Any],
) -> tuple[OpenedModel, _Tested]:
    """Return the opened model, and the selected clips of the dataset.

    `given`: set of folds, and how to open the model; `--set model=...` is another spelling of `--custom-model`.
    """
    from dfer_data.loading.prepared import open_dataset
    from dfer_data.settings import parse_assignments
    from lstpnet.checkpoints.open_model import CHANGEABLE, open_model, with_changes
    from lstpnet.protocol import preset

    require_model(source)
    dataset = open_dataset(data)
    tested = _tested(dataset, fold, given.get("fold_set"))
    given = own_settings(ModelSettings, given)
    changes, assignments = {}, parse_assignments(overrides or [])
    if "model" in assignments:
        given = {"custom_model": str(assignments.pop("model")), **given}
    if protocol is not None:
        values = preset(protocol, dataset=str(dataset.document["dataset"])).values
        changes = {key: value for key, value in values.items() if key in CHANGEABLE}
    return with_changes(open_model(source, **given), changes | assignments), tested


@dataclass(frozen=True)
class _Tested:
    """The clips of a dataset that a command reads."""

    dataset: PreparedDataset
    clip_ids: tuple[str, ...]
    folds: Sequence[str]
    """Folds whose test clips these are; empty for every labelled clip."""
    fold_set: str
    """Name of the set of these folds."""

    @property
    def identity(self) -> DatasetIdentity:
        """Hashes of the clips and labels, and of the folds if any is read."""
        identity = self.dataset.identity(self.fold_set)
        return identity if self.folds else replace(identity, folds_sha256="")


def _tested(dataset: PreparedDataset, fold: str | None, fold_set: str | None) -> _Tested:
    """Return the test clips of the folds that `--fold` names; every labelled clip without it."""
    from lstpnet.evaluation.cross_dataset import tested_clips

    if fold is None:
        if fold_set is not None:
            raise UsageError("--fold-set needs --fold, such as --fold all")
        return _Tested(dataset, tested_clips(dataset, folds=(), fold_set=OFFICIAL_SET), (), OFFICIAL_SET)
    chosen_set = dataset.chosen_fold_set(fold_set)
    all_folds = dataset.fold_names(chosen_set)
    if fold == "all" and not all_folds:
        raise UsageError(f"{dataset.root} has no folds; omit --fold to use every clip")
    folds = all_folds if fold == "all" else [word.strip() for word in fold.split(",")]
    return _Tested(dataset, tested_clips(dataset, folds=folds, fold_set=chosen_set), folds, chosen_set)


def _write(out: Path, result: CrossResult, class_names: tuple[str, ...], *, has_same_classes: bool) -> None:
    """Write logits if model and dataset have the same classes, else the predicted classes."""
    import pandas as pd

    from dfer_data.storage.files import write_atomically

    table = pd.DataFrame({"clip_id": result.clip_ids})
    if has_same_classes:
        table = table.assign(**{name: result.logits[:, number] for number, name in enumerate(class_names)})
    else:
        table = table.assign(prediction=result.predictions)
    has_prediction = [prediction != "" for prediction in result.predictions]
    write_atomically(out, table[has_prediction].to_csv(index=False).encode("utf-8"))


def _print_result(
    source: Path,
    tested: _Tested,
    opened: OpenedModel,
    result: CrossResult,
    device: torch.device,
    facts: dict[str, Any],
    *,
    is_masked: bool,
    as_json: bool,
) -> None:
    """Print the figures; `facts`: further ones, for JSON."""
    from lstpnet.evaluation.computation import computation
    from lstpnet.evaluation.protocol_line import protocol_line

    by = computation(opened, device)
    dataset, identity = tested.dataset, tested.identity
    scores, names = result.scores, opened.class_names
    recalls = dict(zip(names, scores.recalls, strict=True))
    document = {
        "source": str(source),
        "data": str(dataset.root),
        "dataset_sha256": identity.content_sha256,
        "labels_sha256": identity.labels_sha256,
        "folds_sha256": identity.folds_sha256,
        "folds": list(tested.folds),
        "fold_set": tested.fold_set if tested.folds else "",
        "war": scores.war,
        "uar": scores.uar,
        "folds_are": "pooled" if len(tested.folds) > 1 else "",
        "n": scores.num_clips,
        **facts,
        "recall": recalls,
        "clips_without_face": len(result.faceless),
        "synthetic_model": opened.is_synthetic,
        "synthetic_data": bool(dataset.document["synthetic"]),
        "left_out": result.left_out,
        "classes_without_clips": list(result.unused),
        "masked": is_masked,
        "num_frames": opened.recipe.num_frames,
        "sampler": opened.recipe.sampler,
        "sample_by": opened.recipe.sample_by,
        "reference_fps": opened.recipe.reference_fps,
        "short": opened.recipe.short,
        "least_frames": opened.recipe.least_frames,
        "size_px": opened.recipe.size_px,
        "resize": opened.recipe.resize,
        "decode": opened.recipe.decode,
        "runtime": by.runtime,
        "precision": by.precision,
    }
    if as_json:
        console.print_json(document)
        return
    pooled = f", the clips of {len(tested.folds)} folds counted together (not the mean of the folds)"
    pooled = pooled if len(tested.folds) > 1 else ""
    console.say(f"WAR {100 * scores.war:.2f}  UAR {100 * scores.uar:.2f}  n {scores.num_clips}{pooled}")
    recall_texts = (f"{name} {100 * recall:.2f}" for name, recall in recalls.items() if recall is not None)
    console.say("recall: " + "  ".join(recall_texts))
    if result.faceless:
        rules = sorted({f"the train prior, {name}" if name else "wrong" for name in result.faceless.values()})
        console.say(f"clips without a face: {len(result.faceless)}, counted as {' or '.join(rules)}")
    if result.left_out:
        left_out = (f"{name} ({counted(number, 'clip')})" for name, number in result.left_out.items())
        console.say(f"classes unknown to the model, left out: {', '.join(left_out)}")
    if result.unused:
        effect = "never predicted" if is_masked else "a wrong prediction if predicted"
        console.say(f"classes of the model without clips, {effect}: {', '.join(result.unused)}")
    line = protocol_line(
        dataset, opened, folds=tested.folds, fold_set=tested.fold_set, is_masked=is_masked, device=device
    )
    console.say(f"protocol: {line}")
