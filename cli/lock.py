"""`dfer lock`: publish how a dataset was prepared, without one pixel of it; show and compare locks."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfer_data.wording import counted

from ._support import console
from ._support.command_help import HelpCommand, HelpGroup, command_group
from ._support.exit_codes import ExitCode
from ._support.options import JsonFlag, refuse_targets

if TYPE_CHECKING:
    from dfer_data.locking.compare_locks import LockComparison

_MOST_SHOWN = 20


class LockGroup(HelpGroup):
    """The group of `dfer lock`, where `dfer lock PREPARED` means `dfer lock make PREPARED`."""

    default_command = "make"


lock_app = command_group(
    "Publish how a dataset was prepared, without a pixel. `dfer lock PREPARED` makes a lock; `dfer prepare DATASET "
    "--from LOCK` rebuilds the dataset from the videos.",
    cls=LockGroup,
)
LockFile = Annotated[Path, typer.Argument(metavar="LOCK", help="File that ends with .dferlock.")]


@lock_app.command(LockGroup.default_command, cls=HelpCommand)
def make_lock(
    data: Annotated[str, typer.Argument(metavar="PREPARED", help="Folder or URL of a prepared dataset.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="File to write.", show_default="NAME.dferlock")
    ] = None,
    with_paths: Annotated[
        bool, typer.Option("--with-paths", help="Name the videos; else they are known by hashes alone.")
    ] = False,
    with_labels: Annotated[
        bool, typer.Option("--with-labels", help="Hold labels, persons, votes and folds too.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write the lock of a prepared dataset.

    It holds settings, hashes, and the boxes and landmarks of every frame, and no picture. Whoever has the videos
    rebuilds the same face clips from it, without a detector. The same dataset always gives the same bytes.
    """
    from dfer_data.locking.make_lock import default_name, lock

    path = out or Path(default_name(data))
    refuse_targets(path, force=force)
    with console.progress("locking", unit="clips") as advance:
        summary = lock(data, path, with_paths=with_paths, with_labels=with_labels, on_clip=advance)
    if as_json:
        console.print_json({"data": data, **asdict(summary)})
    share = (
        f"{100 * summary.num_bytes / summary.shard_bytes:.2f} % of the shards" if summary.shard_bytes else "no shard"
    )
    console.say(
        f"{summary.out}: {counted(summary.num_clips, 'clip')}, {counted(summary.num_frames, 'frame')}, "
        f"{summary.num_bytes / 1e6:,.1f} MB ({share})",
        as_json=as_json,
    )
    console.say(f"sha256 {summary.sha256}", as_json=as_json)
    for note in summary.notes:
        console.say(f"note: {note}", as_json=as_json)
    console.say(f"how to cite and rebuild it: dfer lock show {shlex.quote(str(summary.out))}", as_json=as_json)


@lock_app.command("show", cls=HelpCommand)
def show_lock(path: LockFile, as_json: JsonFlag = False) -> None:
    """Print what a lock is, and how to cite and rebuild it.

    Checks every byte first; exit code 4 if one was changed.
    """
    from dfer_data.locking.describe import describe
    from dfer_data.locking.lock_file import read_lock

    found = describe(read_lock(path))
    if as_json:
        console.print_json({"lock": str(path), **asdict(found)})
        return
    detector = f"{found.settings['detector']} {found.settings['backbone']}".strip()
    names = [name for name, is_held in (("paths", found.has_paths), ("labels", found.has_labels)) if is_held]
    rows = [
        ("sha256", found.sha256),
        ("dataset", f"{found.dataset}, sha256 {found.dataset_sha256}"),
        (
            "clips",
            f"{found.num_clips:,} with faces, {found.num_failed:,} without, of {counted(found.num_videos, 'video')}",
        ),
        ("frames", f"{found.num_frames:,}"),
        ("detector", detector),
        ("made with", ", ".join(f"{name} {version}" for name, version in sorted(found.tool_versions.items()))),
        ("holds", ", ".join(["boxes", "landmarks", "hashes", *names])),
    ]
    console.print_table(("what", "value"), rows)
    console.say(f"cite: {found.citation}")
    console.say(f"rebuild: {found.command}")


@lock_app.command("diff", cls=HelpCommand)
def diff_locks(first: LockFile, second: LockFile, as_json: JsonFlag = False) -> None:
    """Compare two locks of one dataset, clip by clip and frame by frame.

    Exit code 1 if they differ. Distances of landmarks are in distances of the eyes.
    """
    from dfer_data.locking.compare_locks import compare_locks
    from dfer_data.locking.lock_file import read_lock

    found = compare_locks(read_lock(first), read_lock(second))
    if as_json:
        console.print_json({"equal": found.are_equal, **asdict(found)})
    else:
        _print_comparison(found)
    if not found.are_equal:
        raise typer.Exit(ExitCode.FAILED)


def _print_comparison(found: LockComparison) -> None:
    for name, one, other in (*found.settings, *found.tool_versions):
        console.say(f"{name}: {one} and {other}")
    if found.num_other_sources:
        console.say(f"other files: {counted(found.num_other_sources, 'video')}")
    for where, names in (("first", found.only_in_first), ("second", found.only_in_second)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            console.say(f"only in the {where}: {', '.join(names[:3])}{more}")
    rows = [
        (
            clip.clip,
            str(clip.num_frames),
            str(clip.num_pictures),
            f"{clip.only_in_first}, {clip.only_in_second}",
            str(clip.first_frame),
            "" if clip.landmark_distance is None else f"{clip.landmark_distance:.4f}",
        )
        for clip in found.differing[:_MOST_SHOWN]
    ]
    if rows:
        heads = ("clip", "common frames", "other pictures", "frames in one alone", "first frame", "landmarks")
        console.print_table(heads, rows)
    if len(found.differing) > _MOST_SHOWN:
        console.say(f"and {counted(len(found.differing) - _MOST_SHOWN, 'more clip')}; --json lists all")
    if found.landmark_mean is not None and found.landmark_p95 is not None:
        mean, p95 = found.landmark_mean, found.landmark_p95
        console.say(f"landmarks: mean distance {mean:.4f}, 95th percentile {p95:.4f} eye distances")
    console.say(f"{counted(found.num_equal, 'clip')} equal, {len(found.differing):,} differ")
