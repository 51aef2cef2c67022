"""A report on random runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstpnet.reporting.types import Report
from tests.lstpnet.reporting.random_runs import report_of, write_folds


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folds(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def report(root: Path) -> Report:
    return report_of(root)
