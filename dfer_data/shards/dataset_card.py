"""The card (README.md) of a prepared dataset, for people and the Hugging Face Hub; a function of dataset.json alone.

The card contains the hash of dataset.json, so dataset.json cannot contain the card's. `verify` therefore does not check
the card, and its owner may edit it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dfer_data.render.markdown import escaped, front_matter, table
from dfer_data.shards.layout import CARD_NAME
from dfer_data.sources.catalog import catalog
from dfer_data.weights.assets import Asset, assets

if TYPE_CHECKING:
    from dfer_data.storage.base import Target

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_USAGE = """```python
from dfer_data import open_dataset
data = open_dataset("FOLDER")  # this folder
ids = data.clips.query("status != 'failed'")["clip_id"].tolist()
clip = data.read_clip(ids[0])  # the 16 test frames: uint8 (16, 3, 224, 224), RGB
```
"""


def write_card(document: Mapping[str, Any], out: Target) -> None:
    """Write the card of a dataset.json into `out`, unless a card with the hash of this dataset exists already."""
    exists = out.size(CARD_NAME) is not None
    if not exists or str(document["sha256"]).encode("ascii") not in out.read(CARD_NAME):
        out.put(CARD_NAME, dataset_card(document).encode("utf-8"))


def dataset_card(document: Mapping[str, Any]) -> str:
    """Return the card of a dataset.json as Markdown with YAML front matter."""
    lines = [*front_matter(_metadata(document)), f"# {title(document)}", "", *_description(document)]
    for heading, paragraphs in (
        ("Read it", [_USAGE]),
        ("What is in it", _counts(document)),
        ("How it was made", _provenance(document)),
        ("Terms", terms(document)),
        ("What it is for", _uses(document)),
        ("Limits", _limits(document)),
    ):
        lines += [f"## {heading}", "", *paragraphs]
    return "\n".join(lines).rstrip("\n") + "\n"


def title(document: Mapping[str, Any]) -> str:
    """Return the title of the dataset, as Markdown."""
    facts = catalog()[document["dataset"]]
    if document["synthetic"]:
        return f"Rendered heads in the shape of {facts.title}"
    return "Face clips" if facts.terms == "yours" else f"{facts.title} as face clips"


def licence(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the licence of the data in the keys of Hugging Face's front matter."""
    facts = catalog()[document["dataset"]]
    if document["synthetic"]:
        return {"license": "other", "license_name": "rendered-cc0-heads"}
    if facts.licence != "other":
        return {"license": facts.licence}
    link = {"license_link": facts.home} if facts.home else {}
    return {"license": "other", "license_name": "agreement-of-the-owners", **link}


def terms(document: Mapping[str, Any]) -> list[str]:
    """Return the paragraphs on the terms of the videos and of the detector's model file."""
    facts = catalog()[document["dataset"]]
    if document["synthetic"]:
        lines = ["The heads are CC0 1.0 (MakeHuman / MPFB2, Face Units pack); no real person is shown.", ""]
    elif facts.terms == "yours":
        lines = ["The videos belong to their owner; dfer does not know their terms.", ""]
    else:
        home = f" Home: <{facts.home}>." if facts.home else ""
        lines = [f"{facts.title}: {facts.terms}; {facts.obtain}.{home}", ""]
        lines += ["The faces are cut out of those videos: the same terms apply to them.", ""]
    model = _model_file(document)
    return [*lines, f"Model file of the detector: {model.terms}.", ""] if model else lines


def _metadata(document: Mapping[str, Any]) -> dict[str, Any]:
    num_clips = document["counts"]["clips"]
    return {
        **licence(document),
        "pretty_name": title(document),
        "task_categories": ["video-classification"],
        "size_categories": [next((name for limit, name in _SIZES if num_clips < limit), "n>1M")],
        "tags": ["dfer", "facial-expression-recognition", "face-clips"] + ["synthetic"] * bool(document["synthetic"]),
    }


def _description(document: Mapping[str, Any]) -> list[str]:
    facts, config = catalog()[document["dataset"]], document["config"]
    content = facts.what if not document["synthetic"] else "expressions of rendered heads, to try dfer out"
    method = "the dataset's own face crops, as shipped"
    if config["align"] != "given":
        method = "in each video one face was detected, tracked, and cut out of every frame"
    return [f"{content[0].upper()}{content[1:]}; {method}. Made by `dfer prepare`.", ""]


def _counts(document: Mapping[str, Any]) -> list[str]:
    counts = document["counts"]
    num_bytes = sum(facts["num_bytes"] for facts in document["files"].values())
    totals = [("clips", counts["clips"]), *((f"clips: {name}", n) for name, n in sorted(counts["status"].items()))]
    totals += [(f"failed: {code}", number) for code, number in sorted(counts["failures"].items())]
    totals += [("face crops", counts["frames"]), ("shards", len(document["shards"])), ("bytes", num_bytes)]
    lines = table(("item", "number"), totals)
    lines += table(("class", "clips"), list(counts["classes"].items())) if counts["classes"] else ["No labels.", ""]
    sorted_folds = sorted(counts["folds"].items(), key=lambda item: (len(item[0]), item[0]))
    folds = [(fold, sizes.get("train", 0), sizes.get("test", 0)) for fold, sizes in sorted_folds]
    if not folds:
        return [*lines, "No folds.", ""]
    default = "split by the rule of the dataset's owners" if document["synthetic"] else "those of the dataset's owners"
    rule = document.get("fold_rule", default)
    return [*lines, *table(("fold", "train clips", "test clips"), folds), f"Folds: {escaped(rule)}.", ""]


def _provenance(document: Mapping[str, Any]) -> list[str]:
    config, model = document["config"], _model_file(document)
    hashes = [("dataset.json (its sha256 field)", document["sha256"]), ("settings", document["config_sha256"])]
    if config["weights_sha256"]:
        hashes.append(("model file" if model is None else f"model file {model.name}", config["weights_sha256"]))
    settings = [(key, value) for key, value in sorted(config.items()) if key not in ("dataset", "weights_sha256")]
    return [
        f"Detector: {escaped(' '.join([config['detector'], config['backbone']]).strip())}.",
        "",
        *table(("of", "sha256"), hashes),
        *table(("package", "version"), sorted(document["tool_versions"].items())),
        "<details><summary>All settings</summary>",
        "",
        *table(("setting", "value"), [(key, str(value)) for key, value in settings]),
        "</details>",
        "",
        "The same videos, settings and versions give the same bytes on the same type of machine. `dfer verify` checks "
        "every file except this one against the hashes in dataset.json.",
        "",
    ]


def _uses(document: Mapping[str, Any]) -> list[str]:
    if document["synthetic"]:
        return ["For trying out the tools: a score on this data says nothing about people.", ""]
    return [
        "Research on recognising facial expressions in videos, where the terms of the videos allow it.",
        "Not for inferring what a person feels, for identifying people, or for decisions about them.",
        "",
    ]


def _limits(document: Mapping[str, Any]) -> list[str]:
    counts = document["counts"]
    num_failed, num_partial = (counts["status"].get(status, 0) for status in ("failed", "partial"))
    codes = ", ".join(f"{number:,} {escaped(code)}" for code, number in sorted(counts["failures"].items()))
    lines = ["- It shows no real person."]
    if not document["synthetic"]:
        lines = [
            "- Consent: whether the people in the videos agreed to this use was not checked.",
            "- Bias: how well faces are detected, and how accurate labels are, was not measured by age, sex, skin or "
            "any other group.",
            "- A label records what annotators saw or actors played, not what a person felt.",
        ]
    if num_failed:
        lines.append(f"- {num_failed:,} clips have no face crops ({codes}); they stay in their folds, and failures are "
                     "not random.")  # fmt: skip
    if num_partial:
        lines.append(f"- {num_partial:,} clips are partial: their source ends early or has damaged frames.")
    return [*lines, ""]


def _model_file(document: Mapping[str, Any]) -> Asset | None:
    """Return the pinned model file that was used; None if there was none or the user supplied another file."""
    weights_sha256 = document["config"]["weights_sha256"]
    return next((asset for asset in assets() if asset.sha256 == weights_sha256), None)
