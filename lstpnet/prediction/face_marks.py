"""Marks that draw the predictions of a video's faces into its frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from dfer_data.draw.faces import Mark, colour_of
from dfer_data.types import FrameFlag
from lstpnet.prediction.video import Person


def marks_of(persons: Sequence[Person], class_names: Sequence[str]) -> dict[int, list[Mark]]:
    """Return frame index -> marks of its faces, each with the likeliest class and the probabilities of all classes.

    Each frame shows the prediction of the window whose middle is nearest in time.
    """
    marks: dict[int, list[Mark]] = defaultdict(list)
    for person in persons:
        middles = np.array([(moment.start_seconds + moment.end_seconds) / 2 for moment in person.moments])
        for record in person.records:
            moment = person.moments[int(np.abs(middles - record.pts_seconds).argmin())]
            shares = [(name, float(share)) for name, share in zip(class_names, moment.probabilities, strict=True)]
            name, share = max(shares, key=lambda item: item[1])
            marks[record.frame_index].append(
                Mark(
                    record.box,
                    record.landmarks,
                    colour_of(person.number),
                    label=f"person {person.number}: {name} {100 * share:.0f} %",
                    short_label=str(person.number),
                    is_strong=False,
                    is_seen=not record.flags & FrameFlag.GAP_FILLED,
                    bars=shares,
                )
            )
    return dict(marks)
