"""Contestants of a benchmark: processes that take turns, and the dataset they work on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO


class Contestant:
    """A process that takes commands on standard input and answers each with one line of JSON."""

    def __init__(self, *command: object, environment: Mapping[str, str] | None = None) -> None:
        """Start `command`, with `environment` added to this process's, and wait until it prints `ready`."""
        self._process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        while (line := self._pipe(self._process.stdout).readline()) != "ready\n":
            if not line:
                raise SystemExit(f"{self._process.args!r} could not start")

    def do(self, word: str) -> dict[str, float]:
        """Send `go` or `check`; return the answer."""
        stdin = self._pipe(self._process.stdin)
        stdin.write(word + "\n")
        stdin.flush()
        while not (line := self._pipe(self._process.stdout).readline()).startswith("{"):
            if not line:
                raise SystemExit(f"{self._process.args!r} ended")
        return dict(json.loads(line))

    def end(self) -> None:
        """Close the standard input of the process and wait for its end."""
        self._pipe(self._process.stdin).close()
        self._process.wait()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


def prepared(work: Path) -> Path:
    """Return the prepared demo dataset below `work`; make it if it is missing."""
    root = work / "prepared" / "dfew-retinaface"
    if not root.is_dir():
        for arguments in ("synth dfew", "prepare dfew --detector retinaface"):
            subprocess.run([str(Path(sys.executable).with_name("dfer")), *arguments.split()], cwd=work, check=True)
    return root
