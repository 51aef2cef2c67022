"""A folder of videos (`video.mp4`, or `label/video.mp4` at any depth) or of crops (`label/clip/*.jpg`)."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from dfer_data.errors import AnnotationError, UsageError
from dfer_data.sources.base import Layout, SourceListing, SourceVideo, outsiders
from dfer_data.sources.tree import by_clip, is_text, of_kind, scan
from dfer_data.video.reader import VIDEO_EXTENSIONS


def list_folder(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List each video or folder of pictures below `root`; the first folder of its path is its label. See Source."""
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; give the folder of videos with --source DIR")
    if layout == "frames":
        return _list_crops(root, crops=crops)
    faults, videos, num_ignored = [], [], 0
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_dir() and path.is_symlink():
            faults.append(f"{relative}: is a link to a folder, which is not followed; give that folder with --source")
        if path.suffix.lower() in VIDEO_EXTENSIONS and path.is_symlink() and not path.exists():
            faults.append(f"{relative}: is a link to a file that does not exist; fetch the file, or remove the link")
        if path.name.startswith(".") or not path.is_file():
            continue
        if not is_text(str(relative)):
            faults.append(f"{str(relative)!r}: the name is not UTF-8; rename it")
        elif path.suffix.lower() not in VIDEO_EXTENSIONS:
            num_ignored += 1
        else:
            clip_id = unicodedata.normalize("NFC", relative.as_posix())
            label = unicodedata.normalize("NFC", relative.parts[0]) if len(relative.parts) > 1 else None
            videos.append(SourceVideo(clip_id, relative.as_posix(), path.stat().st_size, label))
    faults += outsiders(root, (video.path for video in videos))
    faults += [f"{name}: two files have this name after Unicode normalisation" for name in _duplicate_ids(videos)]
    if faults:
        raise AnnotationError(faults)
    if not videos:
        known = " ".join(sorted(VIDEO_EXTENSIONS))
        raise UsageError(f"{root} holds no video ({num_ignored} other files; known extensions: {known})")
    videos.sort(key=lambda video: video.clip_id)
    class_names = tuple(sorted({video.label for video in videos if video.label is not None}))
    notes = (f"{num_ignored} files without a video extension are left out",) if num_ignored else ()
    return SourceListing("folder", "videos", class_names, tuple(videos), {}, notes=notes)


def _list_crops(root: Path, *, crops: str | None) -> SourceListing:
    tree = scan(root, dataset="folder")
    faults = list(tree.faults)
    found = by_clip(
        tree, of_kind(tree, "frames", crops=crops), lambda item: unicodedata.normalize("NFC", item.path), faults
    )
    if faults:
        raise AnnotationError(faults)
    if not found:
        raise UsageError(f"{root} holds no folder of JPEG or PNG files; omit --detector none to read videos")
    videos = tuple(
        SourceVideo(clip_id, folder.path, folder.num_bytes, clip_id.partition("/")[0] if "/" in clip_id else None)
        for clip_id, folder in sorted(found.items())
    )
    class_names = tuple(sorted({video.label for video in videos if video.label is not None}))
    return SourceListing("folder", "frames", class_names, videos, {})


def _duplicate_ids(videos: list[SourceVideo]) -> list[str]:
    seen: set[str] = set()
    return [video.clip_id for video in videos if video.clip_id in seen or seen.add(video.clip_id)]  # type: ignore[func-returns-value]
