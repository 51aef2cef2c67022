"""Model card of a run: README.md in its folder, for people and the Hugging Face Hub, with its metrics as metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dfer_data.render.markdown import escaped, front_matter, table
from dfer_data.render.tables import per_cent
from dfer_data.shards.dataset_card import licence, terms, title
from lstpnet.metrics import Scores, confusion_matrix, predicted_classes, score
from lstpnet.recipe import Recipe
from lstpnet.runs import Predictions, RunInfo
from lstpnet.training.experiment import Experiment

_CHOSEN_ON_TEST = "test-best"
_TASK = "video-classification"


def model_card(experiment: Experiment, info: RunInfo, parts: Sequence[Predictions], *, num_parameters: int) -> str:
    """Return the card of a finished run as Markdown with YAML front matter, without any fact about this machine.

    `parts`: the checkpoints' predictions of the test clips. `num_parameters`: of the network.
    """
    scores = [(predictions, _scores(predictions, info.class_names)) for predictions in parts]
    lines = [*front_matter(_metadata(experiment, info, scores)), f"# {_name(info)}", "", *_summary(experiment, info)]
    for heading, paragraphs in (
        ("Results", _results(info, scores)),
        ("Usage", _usage(experiment.recipe)),
        ("Input and output", _input_and_output(experiment.recipe, info)),
        ("Training", _training(experiment, info, num_parameters=num_parameters)),
        ("Terms of the data", terms(experiment.data.document)),
        ("Intended use", _intended_use(info)),
        ("Limits", _limits(experiment, info)),
    ):
        lines += [f"## {heading}", "", *paragraphs]
    return "\n".join(lines).rstrip("\n") + "\n"


def _scores(predictions: Predictions, names: Sequence[str]) -> Scores:
    labels = [names.index(label) for label in predictions.labels]
    return score(confusion_matrix(labels, predicted_classes(predictions.logits), num_classes=len(names)))


def _name(info: RunInfo) -> str:
    return f"{escaped(info.recipe)} on {escaped(info.prepared)}, fold {info.fold}, seed {info.seed}"


def _metadata(experiment: Experiment, info: RunInfo, scores: Sequence[tuple[Predictions, Scores]]) -> dict[str, Any]:
    document = experiment.data.document
    name = f"{info.recipe}, fold {info.fold}, seed {info.seed}"
    results = [
        metric
        for predictions, clip_scores in scores
        if not predictions.control and predictions.checkpoint != _CHOSEN_ON_TEST
        for metric in _metrics(predictions.checkpoint, clip_scores)
    ]
    data = {
        "type": info.dataset,
        "name": title(document),
        "config": f"fold-{info.fold}",
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


def _summary(experiment: Experiment, info: RunInfo) -> list[str]:
    custom_model = experiment.recipe.model
    network = f"A custom model ({escaped(custom_model)})" if custom_model else "LSTPNet"
    lines = [f"{network}: sixteen frames of an aligned face to one of {len(info.class_names)} expressions.", ""]
    if info.synthetic:
        lines = [*lines, "**Trained on rendered heads: its figures say nothing about people.**", ""]
    return lines


def _results(info: RunInfo, scores: Sequence[tuple[Predictions, Scores]]) -> list[str]:
    rows = [
        (_row_name(predictions), per_cent(clip_scores.war), per_cent(clip_scores.uar), clip_scores.num_clips)
        for predictions, clip_scores in scores
    ]
    lines = table(("checkpoint", "WAR %", "UAR %", "test clips"), rows)
    first_predictions, first_scores = scores[0]
    recalls = [(name, per_cent(recall)) for name, recall in zip(info.class_names, first_scores.recalls, strict=True)]
    lines += table(("class", f"recall of {_row_name(first_predictions)} %"), recalls)
    return [
        *lines,
        f"WAR is accuracy; UAR is the mean recall of the {first_scores.num_classes_present} classes with test clips. "
        "`dfer report` adds intervals.",
        "",
        f"Protocol: {escaped(info.protocol)}.",
        "",
    ]


def _row_name(predictions: Predictions) -> str:
    marks = [predictions.control] * bool(predictions.control)
    marks += ["chosen on the test clips: not comparable"] * (predictions.checkpoint == _CHOSEN_ON_TEST)
    return predictions.checkpoint + (f" ({', '.join(marks)})" if marks else "")


def _usage(recipe: Recipe) -> list[str]:
    custom_model_note = ["The package of the custom model must be installed.", ""] if recipe.model else []
    return [
        "`FOLDER` is this folder.",
        "",
        "```bash",
        "dfer predict VIDEO --model FOLDER",
        "```",
        "",
        "```python",
        "from pathlib import Path",
        "import torch",
        "from lstpnet.batches.normalize import normalised",
        "from lstpnet.checkpoints.trained_run import load_trained",
        "",
        'trained = load_trained(Path("FOLDER"))',
        f"clips = torch.zeros(1, 16, 3, {recipe.size_px}, {recipe.size_px}, dtype=torch.uint8)  # your clips",
        f'logits = trained.model(normalised(clips, norm="{recipe.input_norm}"))',
        "```",
        "",
        *custom_model_note,
    ]


def _input_and_output(recipe: Recipe, info: RunInfo) -> list[str]:
    norm = "RGB divided by 255" + ("; each frame to mean 0 and deviation 1" * (recipe.input_norm == "per-frame"))
    names = ", ".join(escaped(name) for name in info.class_names)
    return [
        f"- In: (batch, 16, 3, {recipe.size_px}, {recipe.size_px}) float32, {norm}. Faces aligned like those of the "
        f"dataset; frames by sampler {escaped(recipe.sampler)}, short clips by rule {escaped(recipe.short)}.",
        f"- Out: (batch, {len(info.class_names)}) float32 logits, in this order: {names}.",
        "",
    ]


def _training(experiment: Experiment, info: RunInfo, *, num_parameters: int) -> list[str]:
    document, recipe = experiment.data.document, experiment.recipe
    rows = [
        ("dataset", f"{info.prepared} ({info.dataset})"),
        ("sha256 in its dataset.json", info.dataset_sha256),
        ("fold, seed", f"{info.fold}, {info.seed}"),
        ("clips: train, held out, test", f"{info.n_train:,}, {info.n_val:,}, {len(experiment.test_ids):,}"),
        ("faces", f"{document['config']['detector']} {document['config']['backbone']}".strip()),
        ("recipe", info.recipe),
        ("sha256 of its settings", recipe.sha256),
        ("parameters", f"{num_parameters:,}"),
    ]
    return [
        *table(("what", "value"), rows),
        "<details><summary>All settings</summary>",
        "",
        *table(("setting", "value"), [(key, str(value)) for key, value in sorted(asdict(recipe).items())]),
        "</details>",
        "",
        "`config.json` lists the origin of each setting; `metrics.jsonl` has the metrics of each epoch.",
        "",
    ]


def _intended_use(info: RunInfo) -> list[str]:
    if info.synthetic:
        return ["Trying the tools.", ""]
    return [
        "Research on recognising facial expressions in videos, within the terms of the data.",
        "Not for inferring what a person feels, identifying people, or making decisions about them.",
        "",
    ]


def _limits(experiment: Experiment, info: RunInfo) -> list[str]:
    num_faceless = len(experiment.faceless_test_ids)
    lines = [
        "- One fold and one seed: other folds are harder or easier, and other seeds give other results.",
        "- Bias: performance by age, sex, skin or any other group was not measured.",
        "- Consent: whether the people in the videos agreed to this use was not checked.",
        "- A prediction is a guess about an expression, not about what a person feels.",
    ]
    if info.synthetic:
        lines = ["- It has never seen a person."]
    if num_faceless:
        lines.append(
            f"- Test clips without a face: {num_faceless:,}; they count, predicted by the class shares in train."
        )
    return [*lines, ""]
