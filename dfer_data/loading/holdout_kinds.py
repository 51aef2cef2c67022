"""The kinds of holdout, without the imports of `holdout`."""

from __future__ import annotations

from typing import Literal

Validation = Literal["none", "blocks", "groups", "random", "official"]
"""Names of `dfer_data.loading.holdout.HOLD_OUT`."""
