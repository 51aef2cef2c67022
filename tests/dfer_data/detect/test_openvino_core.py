"""A signal after a network is gone: OpenVINO must not leave a thread without its stack for signals."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.workspace import ROOT

pytest.importorskip("openvino")

_FREED_BY_ANOTHER_THREAD = """
import gc, os, signal, threading
from dfer_data.detect.openvino_core import openvino_core

cores = [openvino_core()]  # with openvino.Core(), the signal below is a segmentation fault
cores[0].get_property("CPU", "OPTIMIZATION_CAPABILITIES")  # loads the plugin
thread = threading.Thread(target=lambda: (cores.clear(), gc.collect()))
thread.start()
thread.join()
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_is_handled_after_another_thread_has_freed_a_network() -> None:
    line = [sys.executable, "-c", _FREED_BY_ANOTHER_THREAD]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
