"""`dfer recipes` says what each shipped recipe is."""

from __future__ import annotations

import json
import re

import pytest

from dfer_cli.main import main
from lstpnet.models.catalogue import NETWORKS
from lstpnet.recipe_files import recipe_names, recipe_text, resolve_recipe

Capture = pytest.CaptureFixture[str]


def test_each_recipe_is_listed_with_its_first_line(capsys: Capture) -> None:
    assert main(["recipes", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "afew",
        "cremad",
        "demo",
        "demo-networks",
        "dfew",
        *sorted([*(f"dfew-{name}" for name in NETWORKS if name != "lstpnet"), "dfew-r3d_18-ec-stfl"]),
        "ferv39k",
        "mafw",
        "ravdess",
        "small",
    ]
    assert all(len(line) > 40 for line in lines)


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("dfew-")])
def test_each_line_of_a_networks_recipe_is_known_or_chosen(name: str) -> None:
    head, _, body = recipe_text(name).partition("\nmodel = ")
    assert all(word in head for word in ("# Command:", "# Hardware:", "# Expected:", "Published", "# Source:"))
    assert all(re.search(r" # (known|chosen)\b", line) for line in f"model = {body}".splitlines())
    assert resolve_recipe(name).recipe.model in name


def test_show_prints_the_file_or_every_setting(capsys: Capture) -> None:
    assert main(["recipes", "show", "afew"]) == 0
    out = capsys.readouterr().out
    assert "their score is not promised" in out.replace("\n#            ", " ")
    assert 'schedule = "cosine"          # chosen' in out
    assert main(["recipes", "show", "afew", "--all"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if len(line.split()) > 2}
    assert rows["epochs"] == ["50", "recipe", "afew"]
    assert rows["label_smoothing"] == ["0.0", "default"]
    assert main(["recipes", "show", "afew", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["settings"]["warmup_epochs"] == 5
    assert document["origins"]["warmup_epochs"] == "recipe afew"


def test_an_unknown_recipe(capsys: Capture) -> None:
    assert main(["recipes", "show", "casme"]) == 2
    error = capsys.readouterr().err
    assert "unknown recipe 'casme'; shipped: afew, cremad, demo, demo-networks, dfew, dfew-c3d" in error
    assert "ferv39k, mafw, ravdess, small, or a path" in error
