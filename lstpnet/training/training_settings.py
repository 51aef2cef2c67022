"""TrainingSettings: data, places and device of trainings, which the recipe does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from dfer_data.loading.cache_places import CachePlace
from dfer_data.settings import setting, validate
from lstpnet.dataset_identity import FoldSettings

_RUN = "Run"


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(FoldSettings):
    """Data, places and device of trainings; none of them is part of the experiment, except `init`."""

    data: str | None = setting(
        None, "Prepared dataset, a folder or URL.", default_words="the only one with folds under prepared/"
    )
    recipe: str | None = setting(None, "Shipped recipe, or a .toml.", default_words="the dataset's own")
    out: Path | None = setting(None, "Folder of the runs.", default_words="runs", in_file="inside")
    init: Path | None = setting(
        None,
        "Start weights: a run's .safetensors, the authors' file, a ResNet-18 (LSTPNet), a folder of CLIP (clip-vit).",
        once=True,
    )
    device: str | None = setting(None, "cuda, mps or cpu.", panel=_RUN, default_words="the best available")
    save_minutes: Annotated[float, Interval(ge=0)] = setting(
        10.0, "Minutes between saves inside an epoch; each epoch ends with a save.", panel=_RUN
    )
    threads: Annotated[int, Interval(ge=0)] = setting(
        0, "Threads that compute on a CPU; 0: one per core. Equal numbers need equal threads.", panel=_RUN
    )
    cache: CachePlace = setting(
        "auto",
        "Where decoded training clips stay between epochs: host or device memory, if they fit; auto: host up to 1 GiB.",
        panel=_RUN,
    )
    tensorboard: bool = setting(False, "Also write each epoch's figures to RUN/tensorboard.", panel=_RUN)
    trust_model: bool = setting(False, "Run the custom model of a recipe that dfer.toml names.", panel=_RUN, once=True)

    def __post_init__(self) -> None:
        """Check all settings; raise one UsageError with every fault."""
        validate(self, by_flag=True)
