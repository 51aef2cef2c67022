from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dfer_data.errors import UsageError
from tests.lstpnet.small_run import LOGITS, part


@pytest.mark.parametrize(
    "changes",
    [{"clip_ids": ("a",)}, {"labels": ()}, {"logits": LOGITS[0]}, {"checkpoint": "final"}, {"control": "none"}],
)
def test_predictions_of_a_wrong_shape_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(part(), **changes)
