"""The card (README.md) of a prepared dataset, for people and the Hugging Face Hub; a function of dataset.json alone.

The card contains the hash of dataset.json, so dataset.json cannot contain the card's. `verify` therefore compares it
with the card of dataset.json and notes a difference, which is no damage: its owner may edit it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dfer_data.render.markdown import Verbatim, render_card
from dfer_data.shards.layout import CARD_NAME
from dfer_data.shards.rebuilt_file import read_rebuilt
from dfer_data.sources.catalog import catalog
from dfer_data.weights.assets import Asset, assets

if TYPE_CHECKING:
    from dfer_data.storage.base import Target

_METHOD = "in each video one face was detected, tracked, and cut out of every frame"
_OWNERS_FOLDS = "those of the dataset's owners"
_RENDERED_FOLDS = "split by the rule of the dataset's owners"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_card(document: Mapping[str, Any], out: Target) -> None:
    """Write the card of a dataset.json into `out`, unless a card with the hash of this dataset exists already."""
    exists = out.size(CARD_NAME) is not None
    if not exists or str(document["sha256"]).encode("ascii") not in out.read(CARD_NAME):
        out.put(CARD_NAME, dataset_card(document, rebuilt=read_rebuilt(out)).encode("utf-8"))


def dataset_card(document: Mapping[str, Any], *, rebuilt: Mapping[str, Any] | None = None) -> str:
    """Return the card of a dataset.json as Markdown with YAML front matter; `rebuilt`: its rebuilt.json, if any."""
    facts, config, counts = catalog()[document["dataset"]], document["config"], document["counts"]
    is_synthetic, is_given = bool(document["synthetic"]), config["align"] == "given"
    statuses, failures = counts["status"], sorted(counts["failures"].items())
    settings = [(key, str(value)) for key, value in sorted(config.items()) if key not in ("dataset", "weights_sha256")]
    return render_card(
        "dataset_card.md.j2",
        package="dfer_data.shards",
        metadata=_metadata(document),
        title=Verbatim(title(document)),
        content=Verbatim("expressions of rendered heads, to try dfer out" if is_synthetic else facts.what),
        method=Verbatim("the dataset's own face crops, as shipped" if is_given else _METHOD),
        synthetic=is_synthetic,
        totals=_totals(document),
        classes=[(name, counts["classes"][name]) for name in document["class_names"] if name in counts["classes"]],
        folds=_folds(counts["folds"]),
        fold_rule=document.get("fold_rule", _RENDERED_FOLDS if is_synthetic else _OWNERS_FOLDS),
        detector=f"{config['detector']} {config['backbone']}".strip(),
        hashes=_hashes(document),
        packages=sorted(document["tool_versions"].items()),
        settings=settings,
        terms=Verbatim(terms(document)),
        num_failed=statuses.get("failed", 0),
        failures=", ".join(f"{number:,} {code}" for code, number in failures),
        lock_sha256="" if rebuilt is None else str(rebuilt["lock_sha256"]),
        num_partial=statuses.get("partial", 0),
    )


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


def terms(document: Mapping[str, Any]) -> str:
    """Return the paragraphs on the terms of the videos and of the detector's model file, as Markdown."""
    facts = catalog()[document["dataset"]]
    if document["synthetic"]:
        paragraphs = ["The heads are CC0 1.0 (MakeHuman / MPFB2, Face Units pack); no real person is shown."]
    elif facts.terms == "yours":
        paragraphs = ["The videos belong to their owner; dfer does not know their terms."]
    else:
        home = f" Home: <{facts.home}>." if facts.home else ""
        paragraphs = [f"{facts.title}: {facts.terms}; {facts.obtain}.{home}"]
        paragraphs.append("The faces are cut out of those videos: the same terms apply to them.")
    model = _model_file(document)
    return "\n\n".join([*paragraphs, f"Model file of the detector: {model.terms}."] if model else paragraphs)


def _metadata(document: Mapping[str, Any]) -> dict[str, Any]:
    num_clips = document["counts"]["clips"]
    return {
        **licence(document),
        "pretty_name": title(document),
        "task_categories": ["video-classification"],
        "size_categories": [next((name for limit, name in _SIZES if num_clips < limit), "n>1M")],
        "tags": ["dfer", "facial-expression-recognition", "face-clips"] + ["synthetic"] * bool(document["synthetic"]),
    }


def _totals(document: Mapping[str, Any]) -> list[tuple[str, int]]:
    counts = document["counts"]
    totals = [("clips", counts["clips"]), *((f"clips: {name}", n) for name, n in sorted(counts["status"].items()))]
    totals += [(f"failed: {code}", number) for code, number in sorted(counts["failures"].items())]
    totals += [(f"tracks left out: {reason}", n) for reason, n in sorted(counts.get("left_out", {}).items())]
    totals += [(f"sound: {state}", number) for state, number in sorted(counts.get("audio", {}).items())]
    num_bytes = sum(facts["num_bytes"] for facts in document["files"].values())
    return [*totals, ("face crops", counts["frames"]), ("shards", len(document["shards"])), ("bytes", num_bytes)]


def _folds(folds: Mapping[str, Mapping[str, int]]) -> list[tuple[str, int, int]]:
    """Return fold, train clips and test clips, in the order of numbers."""
    ordered = sorted(folds.items(), key=lambda item: (len(item[0]), item[0]))
    return [(fold, sizes.get("train", 0), sizes.get("test", 0)) for fold, sizes in ordered]


def _hashes(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    weights_sha256, model = document["config"]["weights_sha256"], _model_file(document)
    hashes = [("dataset.json (its sha256 field)", document["sha256"]), ("settings", document["config_sha256"])]
    name = "model file" if model is None else f"model file {model.name}"
    return [*hashes, (name, weights_sha256)] if weights_sha256 else hashes


def _model_file(document: Mapping[str, Any]) -> Asset | None:
    """Return the pinned model file that was used; None if there was none or the user supplied another file."""
    weights_sha256 = document["config"]["weights_sha256"]
    return next((asset for asset in assets() if asset.sha256 == weights_sha256), None)
