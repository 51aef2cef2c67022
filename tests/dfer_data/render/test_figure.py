"""Plots without matplotlib."""

from __future__ import annotations

import re
import sys

import pytest

from dfer_data.errors import UsageError
from dfer_data.extras import install_command
from dfer_data.render.figure import new_figure


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=re.escape(f"not installed: {install_command('report')}")):
        new_figure(2, 1)


def test_a_figure_has_its_size() -> None:
    assert new_figure(4, 3, dpi=50).get_size_inches().tolist() == [4, 3]
