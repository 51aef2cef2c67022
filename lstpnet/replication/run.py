"""Replicate a claim on a prepared dataset: compare the data, test weights or train them, compare the figures."""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dfer_data.errors import UsageError
from dfer_data.loading.prepared import PreparedDataset, open_dataset
from dfer_data.locking.lock_file import LOCK_SUFFIX
from dfer_data.locking.make_lock import lock
from dfer_data.shards.identity import OFFICIAL_SET
from dfer_data.storage.files import sha256_file
from dfer_data.wording import counted
from lstpnet.checkpoints.open_model import CHANGEABLE, OpenedModel, open_model
from lstpnet.checkpoints.reference import load_reference
from lstpnet.checkpoints.tensor_files import read_tensors
from lstpnet.device import device_name, pick_device
from lstpnet.evaluation.clip_logits import OnProgress
from lstpnet.evaluation.cross_dataset import evaluate_on, tested_clips
from lstpnet.evaluation.protocol_line import protocol_line
from lstpnet.finished_runs import Run
from lstpnet.protocol import preset
from lstpnet.recipe import Recipe
from lstpnet.replication.claim import Claim
from lstpnet.replication.data import data_differences
from lstpnet.replication.figures import NO_PRIOR, FoldPredictions, check_figures, judge, other_order
from lstpnet.replication.result_file import DataFacts, ReplicationDocument, TestedFold
from lstpnet.training.events import EpochDone
from lstpnet.training.launch import train

_PACKAGES = ("dfer", "numpy", "torch")


@dataclass(frozen=True, eq=False)
class Replication:
    """What a lab measured."""

    document: ReplicationDocument
    parts: tuple[FoldPredictions, ...]


@dataclass(frozen=True)
class Weights:
    """What is tested, or what a training starts from, and where and how."""

    checkpoints: Mapping[str, Path]
    """Fold -> file of the claim's authors, exported model, or run."""
    init: Path | None = None
    """Start weights of a training."""
    runs: Path = Path("runs")
    """Folder of the trainings."""
    device: str | None = None
    """`cuda`, `mps` or `cpu`; None: the best available."""


def replicate(
    name: str,
    claim: Claim,
    data: Path | str,
    weights: Weights,
    *,
    on_progress: OnProgress = lambda num_done, num_clips: None,
    on_fold: Callable[[str, int], None] = lambda fold, seed: None,
    on_epoch: Callable[[EpochDone], None] = lambda event: None,
) -> Replication:
    """Compare a prepared dataset with a claim, test its weights or train them, and judge the figures.

    `name`: of the claim. `on_progress`: predicted and all clips of a fold. `on_fold`: fold and seed that begin.
    `on_epoch`: each epoch of a training.
    Raises UsageError for missing checkpoints or start weights and for folds that the data lack, CheckpointError for
    weights of another network, and what training and prediction raise.
    """
    check_weights(claim, weights)
    dataset, device = open_dataset(data), pick_device(weights.device)
    numbers, differences = data_differences(claim, dataset)
    tested: list[tuple[TestedFold, FoldPredictions]] = []
    if claim.kind == "checkpoint":
        class_names = tuple(claim.class_names)
        for fold, path in sorted(weights.checkpoints.items()):
            on_fold(fold, 0)
            tested.append(_test(claim, dataset, fold, path, device=device, on_progress=on_progress))
    else:
        class_names = dataset.class_names
        for fold in claim.folds:
            for seed in claim.seeds:
                on_fold(fold, seed)
                tested.append(_train(claim, dataset, fold, seed, weights, on_epoch=on_epoch))
    facts, parts = [fold for fold, _ in tested], tuple(part for _, part in tested)
    checks = check_figures(claim, parts, class_names)
    order = other_order(parts, class_names) if claim.kind == "checkpoint" else ()
    document = ReplicationDocument(
        name=name,
        claim=claim,
        data=_data_facts(dataset, data),
        numbers=numbers,
        differences=differences,
        class_names=list(class_names),
        tested=facts,
        checks=list(checks),
        verdict=judge(claim, differences, checks, order=order),
        versions={package: importlib.metadata.version(package) for package in _PACKAGES},
        machine=_machine(device),
        clips_sha256="",
    )
    return Replication(document, parts)


def check_weights(claim: Claim, weights: Weights) -> None:
    """Raise UsageError unless the claim can be measured with these weights."""
    if claim.kind == "recipe":
        if weights.checkpoints:
            raise UsageError("--checkpoint: this claim trains its networks; leave it out")
        if claim.needs_init and weights.init is None:
            raise UsageError(f"this claim trains from given weights: add --init FILE (see {claim.recipe}.toml)")
        return
    if weights.init is not None:
        raise UsageError("--init: this claim tests given weights and trains nothing; leave it out")
    known = f"the file {claim.checkpoint or 'of its authors'}, from {claim.where or 'its authors'}"
    if not weights.checkpoints:
        fold = f"{claim.folds[-1]}=" if len(claim.folds) > 1 else ""
        raise UsageError(f"this claim is about given weights: add --checkpoint {fold}FILE ({known})")
    if strangers := sorted(weights.checkpoints.keys() - set(claim.folds)):
        raise UsageError(f"--checkpoint {strangers[0]}=...: the claim's folds are {', '.join(claim.folds)}")
    if absent := [str(path) for path in weights.checkpoints.values() if not path.exists()]:
        raise UsageError(f"there is no file {', '.join(absent)}; expected {known}")


def opened_weights(claim: Claim, path: Path) -> OpenedModel:
    """Return the weights of a claim with its protocol, in float32.

    Raises UsageError for other classes than the claim's, CheckpointError for weights of another network.
    """
    protocol = preset(claim.protocol, dataset=claim.dataset)
    values = {key: value for key, value in protocol.values.items() if key in CHANGEABLE}
    if path.is_dir() or path.suffix == ".onnx":
        opened = open_model(path)
    else:
        model = load_reference(claim.network, read_tensors(path))
        if model.num_classes != len(claim.class_names):
            raise UsageError(
                f"{path} has {counted(model.num_classes, 'class')}, the claim has {len(claim.class_names)}"
            )
        recipe = Recipe(name="authors", model=claim.network, size_px=claim.size_px)
        opened = OpenedModel(model, tuple(claim.class_names), recipe)
    if set(opened.class_names) != set(claim.class_names):
        raise UsageError(f"{path} knows {', '.join(opened.class_names)}; the claim has {', '.join(claim.class_names)}")
    return replace(opened, recipe=replace(opened.recipe, **values, precision="f32"))


def _test(
    claim: Claim, dataset: PreparedDataset, fold: str, path: Path, *, device: torch.device, on_progress: OnProgress
) -> tuple[TestedFold, FoldPredictions]:
    opened = opened_weights(claim, path)
    clip_ids = tested_clips(dataset, folds=[fold], fold_set=OFFICIAL_SET)
    result = evaluate_on(
        opened, dataset, clip_ids, is_masked=False, device=device, folds=[fold], on_progress=on_progress
    )
    order = [opened.class_names.index(name) for name in claim.class_names]
    faceless = {clip_id: prior or NO_PRIOR for clip_id, prior in result.faceless.items()}
    part = FoldPredictions(
        fold=fold,
        seed=0,
        clip_ids=result.clip_ids,
        labels=result.labels,
        num_frames=_num_frames(dataset, result.clip_ids),
        priors=tuple(faceless.get(clip_id, "") for clip_id in result.clip_ids),
        logits=np.nan_to_num(result.logits[:, order]),
    )
    line = protocol_line(dataset, opened, folds=[fold], is_masked=False, device=device)
    return _tested(part, claim.class_names, line, sha256_file(path) if path.is_file() else "")


def _train(
    claim: Claim,
    dataset: PreparedDataset,
    fold: str,
    seed: int,
    weights: Weights,
    *,
    on_epoch: Callable[[EpochDone], None],
) -> tuple[TestedFold, FoldPredictions]:
    overrides: dict[str, Any] = dict(claim.overrides)
    if claim.protocol != "default":
        overrides["protocol"] = claim.protocol
    run = train(
        dataset.root,
        fold=int(fold),
        seed=seed,
        recipe=claim.recipe,
        overrides=overrides,
        out=weights.runs,
        init=weights.init,
        device=weights.device,
        fold_set=OFFICIAL_SET,
        on_event=on_epoch,
    )
    weights_path = run.folder / "checkpoints" / f"{claim.result}.safetensors"
    part = _trained_part(claim, dataset, run, fold=fold, seed=seed)
    return _tested(part, run.info.class_names, run.info.protocol, sha256_file(weights_path))


def _trained_part(claim: Claim, dataset: PreparedDataset, run: Run, *, fold: str, seed: int) -> FoldPredictions:
    found = [item for item in run.predictions if (item.checkpoint, item.control) == (claim.result, "")]
    if not found:
        raise UsageError(f"{run.folder} has no predictions of its checkpoint {claim.result}")
    names, guesses = run.info.class_names, np.argmax(found[0].logits, axis=1)
    return FoldPredictions(
        fold=fold,
        seed=seed,
        clip_ids=found[0].clip_ids,
        labels=found[0].labels,
        num_frames=_num_frames(dataset, found[0].clip_ids),
        priors=tuple("" if face else names[guess] for face, guess in zip(found[0].has_face, guesses, strict=True)),
        logits=np.where(found[0].has_face[:, None], found[0].logits, np.float32(0)),
    )


def _num_frames(dataset: PreparedDataset, clip_ids: Sequence[str]) -> tuple[int, ...]:
    rows = dataset.index(clip_ids)
    by_id = dict(zip(rows["clip_id"].to_pylist(), rows["num_frames"].to_pylist(), strict=True))
    return tuple(by_id[clip_id] for clip_id in clip_ids)


def _tested(
    part: FoldPredictions, class_names: Sequence[str], protocol: str, weights_sha256: str
) -> tuple[TestedFold, FoldPredictions]:
    scores = part.scores(class_names)
    facts = TestedFold(
        fold=part.fold,
        seed=part.seed,
        n=scores.num_clips,
        war=scores.war,
        uar=scores.uar,
        protocol=protocol,
        weights_sha256=weights_sha256,
    )
    return facts, part


def _data_facts(dataset: PreparedDataset, data: Path | str) -> DataFacts:
    identity, document = dataset.identity(), dataset.document
    with tempfile.TemporaryDirectory() as folder:
        lock_sha256 = lock(data, Path(folder) / f"data{LOCK_SUFFIX}").sha256
    return DataFacts(
        content_sha256=identity.content_sha256,
        labels_sha256=identity.labels_sha256,
        folds_sha256=identity.folds_sha256,
        lock_sha256=lock_sha256,
        synthetic=bool(document["synthetic"]),
        config=dict(document["config"]),
        tool_versions=dict(document["tool_versions"]),
    )


def _machine(device: torch.device) -> dict[str, str]:
    """Return what kind of machine it is; never its name."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "device": device_name(device),
    }
