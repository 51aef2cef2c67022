"""Everything that can go wrong, as one tree; each class carries the process exit code of the command line.

    DferError                      1  the work failed
    ├── WeightsError               1  a model file could not be fetched, or is not the pinned one
    ├── RemoteError                1  a URL could not be read or written
    ├── WorkerError                1  a worker process ended without finishing its shard
    ├── FailureLimitError          1  more videos failed than --max-failures allows
    ├── UsageError                 2  wrong arguments, configuration, or a missing dataset
    │   ├── AnnotationError        2  faults in annotation files, all in one error
    │   ├── ConfigMismatchError    2  the output folder belongs to another configuration
    │   └── FormatVersionError     2  the folder was written by a newer dfer
    ├── VideoError                 3  one video could not become a clip (becomes a ledger row, never escapes prepare)
    ├── CorruptDataError           4  bytes on disk differ from those written
    │   └── CorruptShardError      4  the same; the message names shard and clip
    └── LockedError                5  another run holds the output folder

A message is one line: the fact with its values, the likely cause and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, TypeVar

from dfer_data.wording import counted

_T = TypeVar("_T")


class DferError(Exception):
    """Base class of all errors that dfer raises on purpose."""

    exit_code: ClassVar[int] = 1


class WeightsError(DferError):
    """A model file is missing and could not be fetched, or its hash is not the pinned one."""


class RemoteError(DferError):
    """A file behind a URL could not be read or written, or its copy could not be cached."""


class WorkerError(DferError):
    """A worker process died before its shard was finished."""


class FailureLimitError(DferError):
    """More videos failed than `--max-failures` allows; finished shards are kept."""


class UsageError(DferError):
    """The request is invalid: wrong arguments, wrong configuration, or a missing dataset."""

    exit_code = 2


class AnnotationError(UsageError):
    """Annotation files are faulty; `faults` lists every fault with its file and line."""

    def __init__(self, faults: Sequence[str]) -> None:
        """Store `faults`: at least one, each as `FILE:LINE: fault`."""
        self.faults = tuple(faults)
        count = len(self.faults)
        super().__init__(f"{counted(count, 'annotation fault')}: " + "; ".join(self.faults))


class ConfigMismatchError(UsageError):
    """The output folder belongs to another configuration; the message shows the difference."""


class FormatVersionError(UsageError):
    """The dataset on disk has a format version that this dfer does not know."""


RETRYABLE_CODES = frozenset({"CRASHED", "TIMEOUT", "OUT_OF_MEMORY", "READ_ERROR", "CHANGED_SOURCE"})
"""Ledger codes that point to the machine rather than to the video: a retry may succeed."""


class VideoError(DferError):
    """One video cannot become a clip; `code` is the code of its ledger row."""

    exit_code = 3

    def __init__(self, code: str, message: str, *, frame: int | None = None, hint: str = "") -> None:
        """`frame` is the index of the last frame reached, if any; `hint` is the next step for the user."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.frame = frame
        self.hint = hint

    @property
    def is_retryable(self) -> bool:
        """Whether a retry of the same video may succeed."""
        return self.code in RETRYABLE_CODES


class CorruptDataError(DferError):
    """The bytes of a file in a prepared dataset differ from those written."""

    exit_code = 4


class CorruptShardError(CorruptDataError):
    """A shard's bytes are damaged; the message names the shard and, where known, the clip."""


class LockedError(DferError):
    """Another run is writing to the folder."""

    exit_code = 5


_SYNONYMS = {
    "batch": ("batch_size",),
    "bs": ("batch_size",),
    "cuda": ("device",),
    "gpu": ("device",),
    "jobs": ("workers",),
    "lr": ("learning_rate",),
    "num_epochs": ("epochs",),
    "num_workers": ("workers",),
    "output": ("out", "csv"),
    "output_dir": ("out",),
    "wd": ("weight_decay",),
}
"""Word of other tools for an option or setting -> dfer's names for it, the best first."""


def entry_of(name: str, entries: Mapping[str, _T], *, what: str) -> _T:
    """Return the entry called `name`; UsageError with the known names otherwise, which begins with `what`."""
    if name not in entries:
        raise UsageError(f"{what} {name!r}{did_you_mean(name, entries)}; known: {', '.join(entries)}")
    return entries[name]


def meant_name(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that `word` means: a word of other tools, an abbreviation or a misspelling; None: none."""
    names = list(known)
    same = [name for name in _SYNONYMS.get(word.replace("-", "_"), ()) if name in names]
    initials = [name for name in names if "_" in name and "".join(part[:1] for part in name.split("_")) == word]
    begun = [name for name in names if len(word) > 2 and name.startswith(word)]
    close = same or initials or begun or difflib.get_close_matches(word, names, n=1, cutoff=0.8)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean NAME?)` with the known name that `word` means (`meant_name`); empty without one."""
    name = meant_name(word, known)
    return f" (did you mean {name}?)" if name else ""
