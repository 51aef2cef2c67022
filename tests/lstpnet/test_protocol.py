"""The arithmetic of published figures on the official counts, and presets of how a paper's code tests."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from dfer_data.errors import UsageError
from dfer_data.render.tables import per_cent
from dfer_data.sources.official_counts import official
from lstpnet.protocol import NOT_SET, PRESETS, SCOPE, deviations, preset
from lstpnet.recipe import Recipe
from lstpnet.recipe_files import resolve_recipe
from tests.workspace import ROOT

DOCS = (ROOT / "docs/explanation/protocol.md").read_text(encoding="utf-8")
NAMES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")


def counted(dataset: str, protocol: str) -> dict[str, int]:
    """Test clips of all folds that a protocol counts, by class."""
    recipe = resolve_recipe("dfew", overrides={"protocol": protocol}, dataset=dataset).recipe
    return official(dataset).test_clips(least_frames=recipe.least_frames)


@pytest.mark.parametrize(
    ("dataset", "num_all", "num_lstpnet"), [("dfew", 11697, 11683), ("ferv39k", 7847, 7034), ("afew", 383, 381)]
)
def test_the_sizes_of_the_test_parts(dataset: str, num_all: int, num_lstpnet: int) -> None:
    assert sum(counted(dataset, "default").values()) == num_all
    assert sum(counted(dataset, "lstpnet").values()) == num_lstpnet
    for number in (num_all, num_lstpnet):
        assert f"{number:,}" in DOCS or str(number) in DOCS


def test_the_counts_by_class_and_fold() -> None:
    assert tuple(counted("dfew", "default")[name] for name in NAMES) == (2445, 1894, 2669, 2173, 1469, 145, 902)
    assert tuple(counted("dfew", "lstpnet")[name] for name in NAMES) == (2444, 1894, 2667, 2171, 1466, 144, 897)
    assert tuple(counted("ferv39k", "lstpnet")[name] for name in NAMES) == (1360, 1309, 1544, 1402, 586, 435, 398)
    facts = official("dfew")
    assert [sum(facts.num_test[fold]) for fold in "12345"] == [2341, 2341, 2340, 2339, 2336]
    assert [sum(facts.num_test[fold]) - sum(facts.num_short[fold]) for fold in "12345"] == [
        2338,
        2338,
        2338,
        2335,
        2334,
    ]
    for fold in "12345":
        assert facts.num_train[fold] + sum(facts.num_test[fold]) == 11697
    assert official("ferv39k").num_train["1"] + 7847 == 38935


def test_published_figures_fit_the_filtered_counts_and_not_the_official_ones() -> None:
    """Disgust 13.89, AFEW's WAR 53.54, a checkpoint called 0.72622: each a whole number of clips, of these alone."""
    disgust = counted("dfew", "lstpnet")["disgust"], counted("dfew", "default")["disgust"]
    assert [[k for k in range(n) if per_cent(k / n) == "13.89"] for n in disgust] == [[20], []]
    afew = sum(counted("afew", "lstpnet").values())
    assert [k for k in range(afew) if per_cent(k / afew) == "53.54"] == [204]
    facts = official("dfew")
    sizes = {fold: sum(counts) for fold, counts in facts.num_test.items()}
    filtered = {fold: size - sum(facts.num_short[fold]) for fold, size in sizes.items()}
    fits = {n: [k for k in range(n) if f"{k / n:.5f}" == "0.72622"] for n in {*sizes.values(), *filtered.values()}}
    assert {n: found for n, found in fits.items() if found} == {filtered["5"]: [1695]}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_its_keys_and_has_no_deviation(name: str) -> None:
    resolved = resolve_recipe("dfew", overrides={"protocol": name})
    size_px = preset(name).expected.get("size_px", resolved.recipe.size_px)
    settings = {key: getattr(resolved.recipe, key) for key in preset(name).values} | {"size_px": size_px}
    assert deviations(name, settings) == []
    assert {resolved.origins[key] for key in preset(name).values} == {f"protocol {name}"}
    assert f"`{name}`" in DOCS


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_sets_the_training_and_each_says_so(name: str) -> None:
    keys = {key for keys in NOT_SET.values() for key in keys}
    assert keys <= {field.name for field in fields(Recipe)}
    assert keys.isdisjoint(preset(name).values)
    own, plain = (resolve_recipe("dfew", overrides=values).recipe for values in ({"protocol": name}, {}))
    assert all(getattr(own, key) == getattr(plain, key) for key in keys)
    assert preset(name).scope.startswith(SCOPE)
    assert all(what in SCOPE and f"| {what} |" in DOCS for what in NOT_SET)
    assert all(f"`{key}`" in DOCS for key in keys)


def test_the_selection_of_lstpnet_is_named_as_inferred() -> None:
    assert "names of its checkpoints" in preset("lstpnet").scope
    assert [name for name in PRESETS if preset(name).inferred] == ["lstpnet"]
    assert "inferred" in DOCS


def test_what_differs_is_told_and_flags_beat_the_preset() -> None:
    resolved = resolve_recipe("demo", overrides={"protocol": "mae-dfer", "sampler": "uniform"})
    assert (resolved.recipe.sampler, resolved.recipe.short, resolved.recipe.select) == ("uniform", "formula", "last")
    assert resolved.origins["sampler"] == "command line"
    settings = {key: getattr(resolved.recipe, key) for key in ("sampler", "short", "min_frames", "select", "select_by")}
    assert deviations("mae-dfer", settings | {"size_px": 64}) == [
        "sampler uniform (mae-dfer strided-window-4)",
        "size_px 64 (mae-dfer 160)",
    ]


def test_a_recipe_file_may_name_a_protocol_and_differ_from_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('protocol = "dfer-clip"\nshort = "loop"\n')
    resolved = resolve_recipe(str(path))
    assert (resolved.recipe.sampler, resolved.recipe.short) == ("segments-16x1", "loop")
    assert (resolved.origins["sampler"], resolved.origins["short"]) == ("protocol dfer-clip", "recipe mine")
    assert resolve_recipe(str(path), overrides={"protocol": "lstpnet"}).recipe.short == "drop"


def test_mae_dfer_takes_every_frame_of_ferv39k() -> None:
    recipe = resolve_recipe("dfew", overrides={"protocol": "mae-dfer"}, dataset="ferv39k").recipe
    assert recipe.sampler == "strided-window-1"


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown protocol 'vgg'; known: default, lstpnet, former-dfer"):
        preset("vgg")
    with pytest.raises(UsageError, match="no official counts of 'mine'; known: dfew, ferv39k, afew"):
        official("mine")
    with pytest.raises(UsageError, match="not for 8"):
        official("dfew").test_clips(least_frames=8)
