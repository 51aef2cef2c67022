"""A machine that cannot compile says so in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dfer_data.errors import DferError
from lstpnet.training.compiled import compiled


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_without_a_compiler_the_error_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    run = compiled(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh()), torch.device("cpu"))
    with pytest.raises(DferError, match=r"(?s)torch\.compile failed on this machine: .*no-such-compiler.*a C\+\+ comp"):
        run(torch.zeros(4, 3))
