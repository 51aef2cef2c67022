"""What is said of clips that are usable but doubtful: in the `reason` of each, and in a note about all of them."""

from __future__ import annotations

from collections.abc import Iterator

from dfer_data.video.tone_curves import ToneMap
from dfer_data.wording import counted

_STORED_AS_DECODED = "stored as decoded, which looks flat"
_TURN = "upright after a turn of the video by "


def clip_remarks(*, hdr: str, tone_map: ToneMap, turn_degrees: int) -> Iterator[str]:
    """Yield what `reason` says of a clip: `hdr` is `PQ`, `HLG` or empty; `turn_degrees` makes its face upright."""
    if hdr:
        yield f"HDR ({hdr}), {_STORED_AS_DECODED if tone_map == 'none' else f'converted to sRGB by {tone_map}'}"
    if turn_degrees:
        yield f"the face is {_TURN}{turn_degrees} degrees clockwise"


def remark_notes(clips: bytes) -> Iterator[str]:
    """Yield one line per kind of remark in clips.parquet, with the number of its clips and what to do."""
    import pyarrow.compute as pc  # here: workers, which only write remarks, start without it

    from dfer_data.storage.parquet import read_table

    table = read_table(clips, columns=["clip_id", "reason"])
    for words, remark in (
        (_STORED_AS_DECODED, f"of HDR videos, {_STORED_AS_DECODED}: `--tone-map mobius` converts them"),
        (_TURN, "of faces that lie on their side or upside down: turn their videos if these are the wrong way round"),
    ):
        clip_ids = table.filter(pc.match_substring(table["reason"], words))["clip_id"].to_pylist()
        if clip_ids:
            yield f"{counted(len(clip_ids), 'clip')} {remark} ({clip_ids[0]}{' ...' if len(clip_ids) > 1 else ''})"
