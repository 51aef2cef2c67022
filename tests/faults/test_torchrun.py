"""A process of a training on several processes is killed: the others end soon, with one clear line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

_RANK = """
import os, signal, sys, time, torch
from lstpnet.training.distributed import joined_group
from dfer_data.errors import WorkerError
try:
    with joined_group(torch.device("cpu")) as (group, device):
        for step in range(300):
            if group.rank == 1 and step == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            group.summed([1.0])
            time.sleep(0.05)
except WorkerError as error:
    sys.exit(f"error: {error}")
"""


def test_the_others_end_when_one_process_is_killed() -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen([sys.executable, "-c", _RANK], env=environment | {"RANK": str(rank)}, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    try:
        processes[1].wait(timeout=60)
        killed = time.monotonic()
        _, errors = processes[0].communicate(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert time.monotonic() - killed < 30
    assert processes[0].returncode == 1
    assert errors.decode().splitlines()[-1].startswith("error: another of the 2 processes of this training ended")
