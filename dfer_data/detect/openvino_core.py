"""OpenVINO's runtime, made once per process."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def openvino_core() -> Any:
    """Return the openvino.Core of this process, which must have the package.

    It is never freed. OpenVINO's CPU plugin gives the thread that loads it another stack for signals, and frees that
    stack with the last core. If another thread does that, the first one keeps an address without memory, and the next
    signal that Python handles, such as Ctrl+C, is a segmentation fault.
    """
    import openvino

    return openvino.Core()
