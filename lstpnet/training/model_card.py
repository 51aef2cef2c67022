"""Model card of a run: README.md in its folder, for people and the Hugging Face Hub, with its metrics as metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dfer_data.render.markdown import Verbatim, render_card
from dfer_data.render.tables import per_cent
from dfer_data.shards.dataset_card import licence, terms, title
from lstpnet.dataset_identity import fold_folder, fold_words, is_whole
from lstpnet.metrics import Scores
from lstpnet.models.catalogue import NETWORKS, is_custom
from lstpnet.predictions import Predictions, score_predictions
from lstpnet.runs import RunInfo
from lstpnet.training.experiment import Experiment

_CHOSEN_ON_TEST = "test-best"
_TASK = "video-classification"


def model_card(experiment: Experiment, info: RunInfo, parts: Sequence[Predictions], *, num_parameters: int) -> str:
    """Return the card of a finished run as Markdown with YAML front matter, without any fact about this machine.

    `parts`: the checkpoints' predictions of the test clips. `num_parameters`: of the network.
    """
    scores = [(predictions, score_predictions(predictions, info.class_names).scores) for predictions in parts]
    recipe, (first_predictions, first_scores) = experiment.recipe, scores[0]
    rows = [
        (_row_name(item), per_cent(figures.war), per_cent(figures.uar), figures.num_clips) for item, figures in scores
    ]
    recalls = [(name, per_cent(recall)) for name, recall in zip(info.class_names, first_scores.recalls, strict=True)]
    return render_card(
        "model_card.md.j2",
        package="lstpnet.training",
        metadata=_metadata(experiment, info, scores),
        info=info,
        fold=fold_words(info.fold, info.fold_set),
        recipe=recipe,
        is_custom=is_custom(recipe.model),
        network=NETWORKS.get(recipe.model),
        results=rows,
        first_name=_row_name(first_predictions),
        recalls=recalls,
        num_classes_present=first_scores.num_classes_present,
        facts=_facts(experiment, info, num_parameters=num_parameters),
        settings=[(key, str(value)) for key, value in sorted(asdict(recipe).items())],
        terms=Verbatim(terms(experiment.data.document)),
        num_faceless=len(experiment.faceless_test_ids),
    )


def _metadata(experiment: Experiment, info: RunInfo, scores: Sequence[tuple[Predictions, Scores]]) -> dict[str, Any]:
    document = experiment.data.document
    name = f"{info.recipe}, {fold_words(info.fold, info.fold_set)}, seed {info.seed}"
    results = [
        metric
        for predictions, clip_scores in scores
        if not predictions.control and predictions.checkpoint != _CHOSEN_ON_TEST
        for metric in _metrics(predictions.checkpoint, clip_scores)
    ]
    data = {
        "type": info.dataset,
        "name": title(document),
        "config": fold_folder(info.fold, info.fold_set),
        "split": "test",
        "revision": info.dataset_sha256,
        "args": {"num_clips": len(experiment.test_ids)},
    }
    task = {"type": _TASK, "name": "Dynamic facial expression recognition"}
    return {
        **licence(document),
        "library_name": "dfer",
        "pipeline_tag": _TASK,
        "tags": ["dfer", "facial-expression-recognition"] + ["synthetic"] * info.synthetic,
        "metrics": ["accuracy", "recall"],
        "model-index": [{"name": name, "results": [{"task": task, "dataset": data, "metrics": results}]}],
    }


def _metrics(checkpoint: str, scores: Scores) -> list[dict[str, Any]]:
    """Return WAR and UAR in the format of Hugging Face's results block: fractions, named by their standard metric."""
    war = {"type": "accuracy", "name": f"WAR ({checkpoint})", "value": round(scores.war, 6)}
    uar = {"type": "recall", "name": f"UAR ({checkpoint})", "value": round(scores.uar, 6)}
    return [war, uar | {"args": {"average": "macro"}}]


def _row_name(predictions: Predictions) -> str:
    marks = [predictions.control] * bool(predictions.control)
    marks += ["chosen on the test clips: not comparable"] * (predictions.checkpoint == _CHOSEN_ON_TEST)
    return predictions.checkpoint + (f" ({', '.join(marks)})" if marks else "")


def _facts(experiment: Experiment, info: RunInfo, *, num_parameters: int) -> list[tuple[str, str]]:
    config, identity = experiment.data.document["config"], info.identity
    hashes = [("sha256 in its dataset.json", info.dataset_sha256)]
    if not is_whole(identity):
        names = ("content_sha256", "labels_sha256", "folds_sha256")
        hashes = [(f"{name} in its dataset.json", getattr(identity, name)) for name in names]
    return [
        ("dataset", f"{info.prepared} ({info.dataset})"),
        *hashes,
        ("fold, seed", f"{fold_words(info.fold, info.fold_set).removeprefix('fold ')}, {info.seed}"),
        ("clips: train, held out, test", f"{info.n_train:,}, {info.n_val:,}, {len(experiment.test_ids):,}"),
        ("faces", f"{config['detector']} {config['backbone']}".strip()),
        ("recipe", info.recipe),
        ("sha256 of its settings", experiment.recipe.sha256),
        ("parameters", f"{num_parameters:,}"),
    ]
