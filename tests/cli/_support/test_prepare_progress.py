"""What `dfer prepare` shows while it runs: lines, or a bar on a terminal."""

from __future__ import annotations

import pytest

from dfer_cli._support.prepare_progress import PrepareProgress
from dfer_data.preparation.progress import PreparationProgress
from dfer_data.preparation.run import PreparationStarted
from dfer_data.preparation.tasks import VideoDone, VideosUnderWay, VideoUnderWay

FILM = VideoUnderWay("film.mkv", 41_200, 180_000)
REPORT = PreparationProgress(1, 2, 0.25, 0, 400.0, 300.0, 1, FILM)


def test_without_a_terminal_reports_are_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with PrepareProgress(as_json=False) as progress:
        for event in (PreparationStarted(2, 2), VideosUnderWay((FILM,)), VideoDone("a.mkv", 9, ("ok",)), REPORT):
            progress.update(event)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "1 of 2 videos, 25 % of the work, 400 frames/s, 0 failed, about 5 min left; "
        "1 under way: film.mkv, 41,200 of about 180,000 frames\n"
    )


def test_on_a_terminal_a_long_video_moves_the_bar_s_words_until_it_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with PrepareProgress(as_json=False) as progress:
        progress.update(PreparationStarted(2, 2))
        assert progress._bar is not None
        (task,) = progress._bar.tasks
        progress.update(VideosUnderWay((VideoUnderWay("other.mkv", 3, 0), FILM)))
        assert task.completed == 0
        assert task.fields["words"].endswith("  film.mkv, 41,200 of about 180,000 frames")
        progress.update(VideosUnderWay(()))  # while its shard is written
        progress.update(VideoDone("film.mkv", 180_000, ("ok", "NO_FACE")))
        progress.update(REPORT)
        assert task.completed == 1
        assert task.fields["words"].endswith(" frames/s  NO_FACE 1  ok 1")
    assert "41,200 of about 180,000 frames; " not in capsys.readouterr().err
