"""docs/reference/settings.md, from the declared settings: `make settings-docs`, checked by tests/cli/_support."""

from __future__ import annotations

from collections.abc import Iterable

from dfer_data.exchange.settings import ExportSettings
from dfer_data.inspection.look_settings import LookSettings
from dfer_data.preparation.run_settings import PREPARE_SETTINGS, Limits
from dfer_data.settings import Setting, settings_of
from lstpnet.checkpoints.model_settings import ModelSettings, RuntimeSettings
from lstpnet.dataset_identity import FoldSettings
from lstpnet.prediction.video_settings import VideoSettings
from lstpnet.recipe import Recipe
from lstpnet.reporting.groups.settings import GroupSettings
from lstpnet.training.training_settings import TrainingSettings
from tests.workspace import ROOT

PATH = ROOT / "docs/reference/settings.md"
_HEAD = """# Settings

Every setting, from the place where it is declared (`make settings-docs` writes this page). A setting is given as an
option (`--det-size 960`), as `--set det_size_px=960`, in `dfer.toml` (prepare, and the data of train) or in a recipe
file (train). An option beats `--set`, which beats a file, which beats the default. The folder of a dfer.toml holds its
output, unless an option says otherwise ([Files from strangers](../explanation/security.md)).
`dfer prepare dfew --set help` prints the table. Options marked with `*` are not shown by `--help`.

From Python: `dfer_data.prepare("dfew", det_size_px=960)` and
`lstpnet.train("prepared/dfew-retinaface", fold=3, overrides={"epochs": 10})`.
"""

_MODEL = settings_of(ModelSettings).values()


def settings_page() -> str:
    """Return the text of docs/reference/settings.md."""
    parts = [_HEAD]
    parts.append("## dfer prepare\n\npixels: whether it changes pixels, landmarks or tracks of the prepared dataset.\n")
    for panel, items in _by_panel([item for kind in PREPARE_SETTINGS for item in settings_of(kind).values()]).items():
        parts.append(f"### {panel or 'Places'}\n\n{_table(items, with_pixels=True)}")
    parts.append("## dfer train\n\n" + _table(settings_of(TrainingSettings).values()))
    parts.append("### Keys of a recipe\n\nThe defaults are those of a recipe file that does not set the key.\n")
    for panel, items in _by_panel(list(settings_of(Recipe).values())).items():
        parts.append(f"#### {panel}\n\n{_table(items)}")
    parts.append("## dfer predict\n\n" + _table([*settings_of(VideoSettings).values(), *settings_of(Limits).values()]))
    parts.append("## dfer export\n\n" + _table(settings_of(ExportSettings).values()))
    parts.append("## dfer look\n\n" + _table(settings_of(LookSettings).values()))
    parts.append("## dfer report\n\n" + _table(settings_of(GroupSettings).values()))
    parts.append("## Folds: report, evaluate, features; train too\n\n" + _table(settings_of(FoldSettings).values()))
    parts.append("## A trained model: predict, look, evaluate, features; with --deep also verify\n\n" + _table(_MODEL))
    parts.append("## predict, evaluate\n\n" + _table(settings_of(RuntimeSettings).values()))
    return "\n".join(parts)


def _by_panel(items: list[Setting]) -> dict[str, list[Setting]]:
    return {panel: [item for item in items if item.panel == panel] for panel in dict.fromkeys(i.panel for i in items)}


def _table(items: Iterable[Setting], *, with_pixels: bool = False) -> str:
    lines = ["| key | option | default | value | meaning |" + " pixels |" * with_pixels]
    lines.append("|---|---|---|---|---|" + "---|" * with_pixels)
    for item in items:
        cells = [item.name, item.flag + "*" * item.is_rare, item.shown_default, item.expected, item.help]
        cells += ["yes" if item.changes_pixels else ""] * with_pixels
        lines.append("| " + " | ".join(cell.replace("*", "\\*").replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PATH.write_text(settings_page(), encoding="utf-8")
