"""Settings declared once: a dataclass field holds the type, bounds, default and help of a setting.

    @dataclass(frozen=True, kw_only=True)
    class Faces:
        size_px: Annotated[int, Interval(ge=32, le=1024)] = setting(224, "Side of a face, in pixels.", flag="--size")

        def __post_init__(self) -> None:
            validate(self)

The check of values, command-line options, `--set KEY=VALUE`, TOML keys and the tables in the docs are made from it.
Bounds are those of annotated-types. A setting added later gets `absent`: the rule of the time before it, which stored
settings without it mean, whatever the default is by then.
"""

from __future__ import annotations

import dataclasses
import functools
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Interval, MultipleOf

from dfer_data.errors import UsageError, did_you_mean

_T = TypeVar("_T")
_WRONG_TYPES = ("_type", "_parsing", "literal_error", "int_from_float")
_MOST = 2**63 - 1
"""Of a whole number: what arrays and files hold."""
InFile = Literal["any", "inside", "never"]
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}


def setting(
    default: Any = MISSING,
    help: str = "",
    *,
    flag: str = "",
    panel: str = "",
    is_rare: bool = False,
    default_words: str = "",
    changes_pixels: bool = False,
    once: bool = False,
    in_file: InFile = "any",
    choices: Sequence[str] = (),
    words: Mapping[str, int] = types.MappingProxyType({}),
    absent: Any = MISSING,
) -> Any:
    """Return a dataclass field that declares a setting.

    Args:
        default: default value; without it the setting is required.
        help: one sentence for `--help` and the docs, with the unit.
        flag: command-line option; empty: the field's name with dashes.
        panel: heading of the option in `--help`.
        is_rare: hidden from `--help`; the option works, and so does `--set`.
        default_words: describes a default that is not a plain value, such as `data/DATASET` for None.
        changes_pixels: whether it changes stored pixels, landmarks or tracks.
        once: for one call only: neither a TOML key nor a key of `--set`.
        in_file: values that a dfer.toml may give, which its author may not be the user of: `any`; `inside`: a path in
            the folder of the file, for places that are written to; `never`.
        choices: allowed values, for names that are registered elsewhere; else they are the Literal of the annotation.
        words: word -> whole number that it means, outside of the bounds.
        absent: value that stored settings without this key mean, if it is not the default; or a function of these
            settings that returns it.
    """
    metadata = {
        "help": help,
        "flag": flag,
        "panel": panel,
        "is_rare": is_rare,
        "default_words": default_words,
        "changes_pixels": changes_pixels,
        "once": once,
        "in_file": in_file,
        "choices": tuple(choices),
        "words": words,
    }
    return dataclasses.field(default=default, metadata=metadata | ({} if absent is MISSING else {"absent": absent}))


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A declared setting."""

    name: str
    """Field name: key of `--set` and of TOML files."""
    kind: type
    """int, float, bool, str or Path."""
    is_optional: bool
    """Whether None is a value."""
    choices: tuple[str, ...]
    """Allowed values; empty: not a choice."""
    words: Mapping[str, int]
    """Word -> whole number that it means, outside of the bounds."""
    bounds: tuple[Any, ...]
    """Constraints of annotated-types."""
    default: Any
    """Default value; MISSING if it is required."""
    help: str
    flag: str
    panel: str
    is_rare: bool
    default_words: str
    changes_pixels: bool
    once: bool
    in_file: InFile

    @property
    def annotation(self) -> Any:
        """The type with its bounds, as pydantic takes it; a path may be given as text."""
        base: Any = Literal[self.choices] if self.choices else self.kind
        if self.kind is int:
            base = Annotated[int, Interval(le=_MOST)]
        if self.kind is Path:
            import pydantic

            base = Annotated[Path, pydantic.Strict(False)]
        for bound in self.bounds:
            base = Annotated[base, bound]
        if self.words:
            base = base | Literal[tuple(self.words.values())]
        return base | None if self.is_optional else base

    @property
    def expected(self) -> str:
        """What a value must be, such as `a multiple of 32 from 64 to 4096`."""
        return expected_words(self.kind, choices=self.choices, bounds=self.bounds, words=tuple(self.words))

    @property
    def shown_default(self) -> str:
        """The default as text for help and docs; empty for a setting that is off or required."""
        if self.default_words or self.default in (MISSING, None, ""):
            return self.default_words
        return str(self.default).lower() if self.kind is bool else f"{self.default}"

    def fault(self, value: Any, *, by_flag: bool) -> str:
        """Return the message for a wrong value, named by its flag or by its key."""
        shown = f"{value:g}" if isinstance(value, float) else value
        subject = f"{self.flag} {shown}" if by_flag else f"{self.name} = {value!r}"
        most = f", at most {_MOST}" if type(value) is int and value > _MOST else ""
        return f"{subject}: must be {self.expected}{most}"


def expected_words(
    kind: type, *, choices: Sequence[str] = (), bounds: Sequence[Any] = (), words: Sequence[str] = ()
) -> str:
    """Return what a value must be, as `Setting.expected` does."""
    if choices:
        *first, last = choices
        return f"{', '.join(first)} or {last}" if first else last
    noun = _KINDS[kind]
    for bound in bounds:
        if isinstance(bound, MultipleOf):
            noun = f"a multiple of {bound.multiple_of:g}"
    ranges = "".join(_range(bound) for bound in bounds if isinstance(bound, Interval))
    return " or ".join([noun + ranges, *words])


def _range(bound: Interval) -> str:
    """Return the words of an interval: ` from 1 to 8`, ` more than 0 and less than 1`, ` of 0 or more`."""
    if bound.ge is not None and bound.le is not None:
        return f" from {bound.ge:g} to {bound.le:g}"
    low = (
        f"of {bound.ge:g} or more"
        if bound.ge is not None
        else f"more than {bound.gt:g}"
        if bound.gt is not None
        else ""
    )
    high = (
        f"at most {bound.le:g}" if bound.le is not None else f"less than {bound.lt:g}" if bound.lt is not None else ""
    )
    return " " + " and ".join(filter(None, (low, high)))


@functools.cache
def settings_of(kind: Any) -> Mapping[str, Setting]:
    """Return the declared settings of a dataclass by name, in the order of its fields."""
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = [field for field in dataclasses.fields(kind) if "help" in field.metadata]
    return types.MappingProxyType({field.name: _declared(field, hints[field.name]) for field in fields})


def _declared(field: dataclasses.Field[Any], hint: Any) -> Setting:
    is_optional = typing.get_origin(hint) in (typing.Union, types.UnionType)
    if is_optional:
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    bounds: Sequence[Any] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *bounds = typing.get_args(hint)
    metadata = {key: value for key, value in field.metadata.items() if key != "absent"}
    if typing.get_origin(hint) is Literal:
        metadata["choices"], hint = typing.get_args(hint), str
    metadata["flag"] = metadata["flag"] or "--" + field.name.replace("_", "-")
    return Setting(
        name=field.name, kind=hint, is_optional=is_optional, bounds=tuple(bounds), default=field.default, **metadata
    )


@functools.cache
def _schema(kind: Any) -> Any:
    """Return the pydantic model of a dataclass's settings, none of them required."""
    import pydantic

    config = pydantic.ConfigDict(strict=True, allow_inf_nan=False)
    fields: dict[str, Any] = {name: (item.annotation, None) for name, item in settings_of(kind).items()}
    return pydantic.create_model(kind.__name__, __config__=config, **fields)


def check(kind: Any, values: Mapping[str, Any], *, by_flag: bool = False) -> tuple[dict[str, Any], list[str], bool]:
    """Check values of a dataclass's settings, by name; all names must be known.

    `by_flag`: messages name the command-line option instead of the key.
    Returns the values in their declared types (2 becomes 2.0 for a float and "2" for a text, text a path), every
    fault, and whether all values have their declared types, so that rules between settings can be checked too.
    """
    import pydantic

    values = {name: str(value) if _is_number_for_text(kind, name, value) else value for name, value in values.items()}
    numbers = {name: item.words for name, item in settings_of(kind).items() if item.words}
    values |= {name: words.get(str(values[name]), values[name]) for name, words in numbers.items() if name in values}
    try:
        checked = _schema(kind)(**values)
    except pydantic.ValidationError as error:
        known = settings_of(kind)
        faults = {str(fault["loc"][0]): fault["type"] for fault in error.errors()}
        words = [known[name].fault(values[name], by_flag=by_flag) for name in known if name in faults]
        return dict(values), words, not any(kind.endswith(_WRONG_TYPES) for kind in faults.values())
    return {name: getattr(checked, name) for name in values}, [], True


def _is_number_for_text(kind: Any, name: str, value: Any) -> bool:
    """Whether a whole number was given for a text, as TOML and `--set` read `100`."""
    item = settings_of(kind)[name]
    return item.kind is str and not item.choices and type(value) is int


def validate(instance: Any, *, rules: Iterable[str] = (), subject: str = "", by_flag: bool = False) -> None:
    """Check all settings of a frozen dataclass, in its `__post_init__`, and store them in their declared types.

    `rules`: faults between settings; read only when all values have their declared types.
    `subject`: begins the message, such as `recipe dfew: `. Raises UsageError with every fault.
    """
    kind: Any = type(instance)
    values, faults, is_typed = check(
        kind, {name: getattr(instance, name) for name in settings_of(kind)}, by_flag=by_flag
    )
    for name, value in values.items():
        object.__setattr__(instance, name, value)  # before the rules, which read them
    faults += rules if is_typed else []
    if faults:
        raise UsageError(subject + "; ".join(faults))


def with_absent(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored settings of a dataclass, completed by the rule of the time when each missing one did not exist."""
    completed = dict(values)
    for field in dataclasses.fields(kind):
        rule = field.metadata.get("absent", field.default)
        if field.name not in values and rule is not MISSING:
            completed[field.name] = rule(values) if callable(rule) else rule
    return completed


def split_settings(
    kinds: Sequence[Any], values: Mapping[str, Any], *, by_flag: bool = False
) -> dict[Any, dict[str, Any]]:
    """Check settings of several dataclasses at once, and return each one's own: dataclass -> name -> value.

    Raises UsageError with every unknown key, or with every fault of the values.
    """
    owners = {name: kind for kind in kinds for name in settings_of(kind)}
    if unknown := sorted(values.keys() - owners.keys()):
        words = [f"{name}{did_you_mean(name, owners)}" for name in unknown]
        raise UsageError(f"unknown settings {', '.join(words)}; known: {', '.join(owners)}")
    groups: dict[Any, dict[str, Any]] = {}
    faults = []
    for kind in kinds:
        own = {name: value for name, value in values.items() if owners[name] is kind}
        groups[kind], own_faults, _ = check(kind, own, by_flag=by_flag)
        faults += own_faults
    if faults:
        raise UsageError("; ".join(faults))
    return groups


def build_or_none(kind: Callable[..., _T], values: Mapping[str, Any]) -> _T | None:
    """Build a dataclass from some of its settings; None from none. Raises UsageError without a required one."""
    declared = settings_of(kind)
    missing = [item.flag for name, item in declared.items() if item.default is MISSING and name not in values]
    if values and missing:
        flags = [declared[name].flag for name in values]
        raise UsageError(f"{', '.join(flags)} {'need' if len(flags) > 1 else 'needs'} {' and '.join(missing)}")
    return kind(**values) if values else None


def parse_assignments(lines: Sequence[str]) -> dict[str, Any]:
    """Parse `KEY=VALUE` texts into values as TOML does; a bare word is a string.

    Raises UsageError without `=`, and for a key that is set twice.
    """
    values: dict[str, Any] = {}
    for line in lines:
        name, separator, text = line.partition("=")
        key = name.strip()
        if not separator:
            raise UsageError(f"--set {line}: expected KEY=VALUE, for example --set epochs=10")
        if key in values:
            raise UsageError(f"--set {key} given more than once; give it once")
        try:
            values[key] = tomllib.loads(f"v = {text}")["v"]
        except (ValueError, RecursionError):  # also a number of thousands of digits, and deep lists
            values[key] = text.strip()
    return values


def settings_table(kinds: Iterable[Any], *, keys_only: bool = False) -> list[tuple[str, str, str, str, str]]:
    """Return a row per setting: key, flag, default, what a value must be, help; `keys_only`: those of `--set`."""
    declared = [item for kind in kinds for item in settings_of(kind).values() if not (keys_only and item.once)]
    return [(item.name, item.flag, item.shown_default, item.expected, item.help) for item in declared]
