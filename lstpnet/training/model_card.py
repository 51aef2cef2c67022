"""The card of a run: README.md in its folder, for people and for Hugging Face's hub, with a block of its figures."""

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
    """Return the card of a finished run as Markdown with YAML front matter; nothing of this machine stands in it.

    `parts`: what its checkpoints say of the test clips. `num_parameters`: of the network.
    """
    scores = [(part, _scores(part, info.class_names)) for part in parts]
    lines = [*front_matter(_metadata(experiment, info, scores)), f"# {_name(info)}", "", *_what(experiment, info)]
    for heading, paragraphs in (
        ("Figures", _figures(info, scores)),
        ("Use it", _use(experiment.recipe)),
        ("Input and output", _contract(experiment.recipe, info)),
        ("Training", _training(experiment, info, num_parameters=num_parameters)),
        ("Terms of the data", terms(experiment.data.document)),
        ("What it is for", _uses(info)),
        ("Limits", _limits(experiment, info)),
    ):
        lines += [f"## {heading}", "", *paragraphs]
    return "\n".join(lines).rstrip("\n") + "\n"


def _scores(part: Predictions, names: Sequence[str]) -> Scores:
    labels = [names.index(label) for label in part.labels]
    return score(confusion_matrix(labels, predicted_classes(part.logits), num_classes=len(names)))


def _name(info: RunInfo) -> str:
    return f"{escaped(info.recipe)} on {escaped(info.prepared)}, fold {info.fold}, seed {info.seed}"


def _metadata(experiment: Experiment, info: RunInfo, scores: Sequence[tuple[Predictions, Scores]]) -> dict[str, Any]:
    document = experiment.data.document
    name = f"{info.recipe}, fold {info.fold}, seed {info.seed}"
    results = [
        metric
        for part, found in scores
        if not part.control and part.checkpoint != _CHOSEN_ON_TEST
        for metric in _metrics(part.checkpoint, found)
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


def _metrics(checkpoint: str, found: Scores) -> list[dict[str, Any]]:
    """Return WAR and UAR as Hugging Face's results block has them: fractions, with the name of the plain metric."""
    war = {"type": "accuracy", "name": f"WAR ({checkpoint})", "value": round(found.war, 6)}
    uar = {"type": "recall", "name": f"UAR ({checkpoint})", "value": round(found.uar, 6)}
    return [war, uar | {"args": {"average": "macro"}}]


def _what(experiment: Experiment, info: RunInfo) -> list[str]:
    own = experiment.recipe.model
    network = f"A model of somebody's own ({escaped(own)})" if own else "LSTPNet"
    lines = [f"{network}: sixteen frames of an aligned face to one of {len(info.class_names)} expressions.", ""]
    if info.synthetic:
        lines = [*lines, "**Trained on rendered heads: its figures say nothing about people.**", ""]
    return lines


def _figures(info: RunInfo, scores: Sequence[tuple[Predictions, Scores]]) -> list[str]:
    rows = [(_row_name(part), per_cent(found.war), per_cent(found.uar), found.num_clips) for part, found in scores]
    lines = table(("checkpoint", "WAR %", "UAR %", "test clips"), rows)
    first = scores[0][1]
    recalls = [(name, per_cent(recall)) for name, recall in zip(info.class_names, first.recalls, strict=True)]
    lines += table(("class", f"recall of {_row_name(scores[0][0])} %"), recalls)
    return [
        *lines,
        f"WAR is accuracy, UAR the mean of the recalls of the {first.num_classes_present} classes with test clips. "
        "`dfer report` adds intervals.",
        "",
        f"Protocol: {escaped(info.protocol)}.",
        "",
    ]


def _row_name(part: Predictions) -> str:
    marks = [part.control] * bool(part.control)
    marks += ["chosen on the test clips: not comparable"] * (part.checkpoint == _CHOSEN_ON_TEST)
    return part.checkpoint + (f" ({', '.join(marks)})" if marks else "")


def _use(recipe: Recipe) -> list[str]:
    own = ["The package of the model must be installed where it is used.", ""] if recipe.model else []
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
        f"clips = torch.zeros(1, 16, 3, {recipe.size_px}, {recipe.size_px}, dtype=torch.uint8)  # yours",
        f'logits = trained.model(normalised(clips, norm="{recipe.input_norm}"))',
        "```",
        "",
        *own,
    ]


def _contract(recipe: Recipe, info: RunInfo) -> list[str]:
    norm = "RGB divided by 255" + ("; each frame to mean 0 and deviation 1" * (recipe.input_norm == "per-frame"))
    names = ", ".join(escaped(name) for name in info.class_names)
    return [
        f"- In: (batch, 16, 3, {recipe.size_px}, {recipe.size_px}) float32, {norm}. Faces aligned as those of the "
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
        "`config.json` says where each setting came from, `metrics.jsonl` how the training went.",
        "",
    ]


def _uses(info: RunInfo) -> list[str]:
    if info.synthetic:
        return ["To try the tools with.", ""]
    return [
        "Research on recognising facial expressions in videos, within the terms of the data.",
        "Not for telling what somebody feels, for identifying people, nor for decisions about them.",
        "",
    ]


def _limits(experiment: Experiment, info: RunInfo) -> list[str]:
    num_faceless = len(experiment.faceless_test_ids)
    lines = [
        "- One fold and one seed: other folds are harder or easier, other seeds come out otherwise.",
        "- Bias: how well it does by age, sex, skin or any other group was not measured.",
        "- Consent: whether the people in the videos agreed to this use was not looked into.",
        "- What it says of a face is a guess about an expression, not about what somebody feels.",
    ]
    if info.synthetic:
        lines = ["- It has never seen a person."]
    if num_faceless:
        lines.append(
            f"- Test clips without a face: {num_faceless:,}; they count, predicted by the classes' shares in train."
        )
    return [*lines, ""]
