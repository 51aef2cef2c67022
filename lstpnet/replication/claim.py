"""Claims that can be replicated: which data, which weights or recipe, and what must come out.

One TOML file per claim, in the folder `claims`; the name of the file is the name of the claim. A path to a file of the
same form is a claim too. docs/replications/index.md shows how to use one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic

from dfer_data.errors import UsageError, did_you_mean
from dfer_data.sources.official_counts import Official, official, official_of
from dfer_data.storage.files import read_regular_text
from dfer_data.wording import counted

_Text = Annotated[str, pydantic.StringConstraints(max_length=2000)]
_Count = Annotated[int, pydantic.Field(ge=0, le=10**7)]
_PerCent = Annotated[float, pydantic.Field(ge=0, le=100, allow_inf_nan=False)]
_MOST_BYTES = 2**20


class _Table(pydantic.BaseModel):
    """A table with no other keys than these, of these types."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class Expected(_Table):
    """One figure that must come out: `right` of `of` clips, `right_between` of `of`, or WAR and UAR in per cent."""

    fold: _Text = ""
    """Fold whose test clips count; empty: those of all folds of the claim."""
    class_name: _Text = ""
    """Class whose clips count; empty: all."""
    right: _Count | None = None
    """Clips predicted correctly."""
    right_between: Annotated[list[_Count], pydantic.Field(min_length=2, max_length=2)] | None = None
    """Range that must hold the number of each seed."""
    of: _Count | None = None
    """Clips."""
    war: _PerCent | None = None
    """Mean of the folds."""
    uar: _PerCent | None = None
    """Mean of the folds."""
    published: _Text = ""
    """Method in published_results.csv whose row prints the figure; empty: `source` alone has it."""
    inferred: _Text = ""
    """What is concluded and not read; empty if nothing is."""
    source: _Text = ""
    """Where the figure is from."""

    @pydantic.model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [self.right is not None, self.right_between is not None, self.war is not None or self.uar is not None]
        if sum(kinds) != 1 or kinds[2] == (self.of is not None):
            raise ValueError("must have right and of, right_between and of, or war and uar")
        return self


class Claim(_Table):
    """One claim. Two claims are the same if all values are."""

    title: _Text
    """One line."""
    dataset: Annotated[str, pydantic.StringConstraints(pattern="^[a-z0-9-]{1,40}$")]
    """Name as in `dfer prepare`."""
    kind: Literal["checkpoint", "recipe"]
    """`checkpoint`: given weights are tested; `recipe`: networks are trained first."""
    state: _Text = "open"
    """Who reproduced it, and when; `open` until a result was sent."""
    date: _Text
    """When the facts were read."""
    source: _Text
    """Where they are from."""
    folds: Annotated[list[_Text], pydantic.Field(min_length=1, max_length=100)]
    """Folds that are tested."""
    protocol: _Text = "default"
    """Clips and frames that count, as of `dfer evaluate --protocol`."""
    detector: _Text = "none"
    """Whose faces the claim is about; `none`: the crops that the dataset ships."""
    crops: _Text = ""
    """Folder of these crops, where a dataset ships several."""
    crop_px: Annotated[int, pydantic.Field(ge=0, le=10**5)] = 0
    """Side of these crops; 0: not known, and not compared."""
    network: _Text = "lstpnet"
    """Network of the checkpoint."""
    size_px: Annotated[int, pydantic.Field(ge=32, le=10**4)] = 224
    """Side of its input."""
    class_names: Annotated[list[_Text], pydantic.Field(max_length=100)] = []
    """Classes in the order of its outputs."""
    checkpoint: _Text = ""
    """Name of the file, as far as known."""
    where: _Text = ""
    """Where its authors give it out."""
    recipe: _Text = ""
    """Recipe of the training."""
    overrides: dict[str, str | int | float | bool] = {}
    """Recipe keys with other values."""
    seeds: Annotated[list[_Count], pydantic.Field(min_length=1, max_length=20)] = [0]
    """Seeds of the training."""
    result: Literal["last", "test-best"] = "last"
    """Checkpoint of a training whose predictions count."""
    needs_init: bool = False
    """Whether the training starts from given weights."""
    tolerance_points: _PerCent
    """How far a figure may be from the expected one, in points of per cent.

    Chosen before anyone measured, and not measured itself: 0.1 for given weights, since two clips of a fold of DFEW
    (0.09 points) may change sides where a decoder or a device rounds differently; 0.5 for a training, so that seeds
    that happen to agree do not make it narrower.
    """
    seed_deviations: _PerCent = 0.0
    """Standard deviations of the seeds' figures that it may be away, if that is more."""
    other_crops_points: _PerCent = 2.0
    """The same on other crops than the claim's; chosen as well, not measured on the data.

    `python -m benchmarks.other_crops` measures how far other crops move the network of the demo: often further.
    """
    expected: Annotated[list[Expected], pydantic.Field(max_length=200)] = []
    """What must come out; nothing for an open line."""
    official: dict[str, Any] | None = None
    """Numbers of the dataset in the form of official.json; None: the official ones."""

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        if self.kind == "checkpoint" and not self.class_names:
            raise ValueError("class_names: a claim about a checkpoint names its classes in the order of its outputs")
        if self.kind == "recipe" and not self.recipe:
            raise ValueError("recipe: a claim about a training names its recipe")
        if unknown := sorted({line.fold for line in self.expected} - {"", *self.folds}):
            raise ValueError(f"expected: fold {unknown[0]} is not one of the claim's folds {', '.join(self.folds)}")
        return self

    def facts(self) -> Official:
        """Return the numbers that the dataset must have. Raises UsageError for numbers that cannot be read."""
        if self.official is None:
            return official(self.dataset)
        try:
            return official_of(self.dataset, self.official)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            words = f"the numbers of claim {self.title!r} are not in the form of official.json: {error!r}"
            raise UsageError(words) from error


def claim_names() -> tuple[str, ...]:
    """Return the names of the shipped claims, sorted."""
    folder = resources.files("lstpnet.replication").joinpath("claims")
    return tuple(sorted(path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml")))


def load_claim(name: str) -> Claim:
    """Return a shipped claim by its name, or one of a file by its path. Raises UsageError with every fault of it."""
    if name.endswith(".toml"):
        return _read(Path(name))
    if name not in claim_names():
        known = claim_names()
        raise UsageError(f"no claim {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}, or a .toml file")
    text = resources.files("lstpnet.replication").joinpath("claims", f"{name}.toml").read_text(encoding="utf-8")
    return claim_of(tomllib.loads(text), where=name)


def _read(path: Path) -> Claim:
    try:
        if path.is_file() and path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is too large for a claim")
        values = tomllib.loads(read_regular_text(path))
    except (OSError, ValueError, RecursionError) as error:  # of UTF-8, of TOML, or of a number that is too long
        raise UsageError(f"{path} cannot be read as a claim: {getattr(error, 'strerror', None) or error}") from error
    return claim_of(values, where=str(path))


def claim_of(values: Mapping[str, Any], *, where: str) -> Claim:
    """Return a claim from its keys and values; `where`: names it in errors. Raises UsageError with every fault."""
    plain = {key: value.isoformat() if isinstance(value, date) else value for key, value in values.items()}
    try:
        return Claim.model_validate(plain)
    except pydantic.ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'claim'}: {_fault_words(fault)}" for fault in error.errors()]
        count = counted(len(faults), "fault")
        raise UsageError(f"claim {where} has {count}: {'; '.join(faults)}") from error


def _fault_words(fault: Mapping[str, Any]) -> str:
    return "unknown key" if fault["type"] == "extra_forbidden" else str(fault["msg"])
