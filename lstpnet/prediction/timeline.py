"""Draw the predictions for the faces of a video over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dfer_data.draw.origin_mark import marked_png
from dfer_data.render.figure import draw_strip, new_figure, png_of
from dfer_data.storage.files import write_atomically
from dfer_data.wording import counted
from lstpnet.prediction.video import Person

_MAX_PERSONS = 12
_HEIGHT_INCHES, _STRIP_INCHES = 1.7, 0.25


def draw_timeline(
    persons: Sequence[Person],
    class_names: Sequence[str],
    path: Path,
    *,
    title: str,
    warning: str = "",
    origin: str | None = None,
) -> None:
    """Draw the probabilities of all classes over the seconds of a video as PNG, one strip per person.

    Each moment is drawn at the middle of its window. Only the first twelve persons are drawn; the title counts the
    others. `warning` is written in a strip at the foot. `origin`: what the image's mark names
    (origin_mark.py); None: the title.
    """
    drawn_persons = persons[:_MAX_PERSONS]
    remaining_note = (
        f" (and {counted(len(persons) - len(drawn_persons), 'more person')})"
        if len(persons) > len(drawn_persons)
        else ""
    )
    height_inches = 0.9 + _HEIGHT_INCHES * len(drawn_persons) + (_STRIP_INCHES if warning else 0)
    figure = new_figure(10, height_inches, layout="constrained")
    figure.suptitle((title + remaining_note).replace("$", r"\$"), fontsize=10)
    if warning:
        share = _STRIP_INCHES / figure.get_figheight()
        figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))
        draw_strip(figure, warning, height_share=share)
    strips = figure.subplots(len(drawn_persons), 1, sharex=True, squeeze=False)[:, 0]
    for strip, person in zip(strips, drawn_persons, strict=True):
        middles = [(moment.start_seconds + moment.end_seconds) / 2 for moment in person.moments]
        for number, name in enumerate(class_names):
            shares = [float(moment.probabilities[number]) for moment in person.moments]
            strip.plot(middles, shares, marker="o", markersize=2.5, label=name, color=f"C{number}")
        strip.axvspan(person.moments[0].start_seconds, person.moments[-1].end_seconds, color="0.95", zorder=0)
        strip.set_ylim(0, 1.02)
        strip.set_ylabel(f"person {person.number}")
        strip.grid(alpha=0.3)
    strips[-1].set_xlabel("seconds")
    strips[0].legend(ncols=len(class_names), fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    write_atomically(path, marked_png(png_of(figure, dpi=110), title if origin is None else origin))
