"""The Ray engine on a cluster of one node: the same bytes, whoever dies; what is missing is one line."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from dfer_cli.main import main
from dfer_data.config import Request
from dfer_data.errors import UsageError, WorkerError
from dfer_data.extras import install_command
from dfer_data.loading.prepared import open_dataset
from dfer_data.locking.make_lock import lock
from dfer_data.preparation.request import ResolvedRequest, resolve_request
from dfer_data.preparation.run import PreparationEvent, prepare, run_preparation
from dfer_data.preparation.run_settings import Cluster, Limits, Revision
from dfer_data.preparation.tasks import ShardTask, VideoDone, VideoTask, Workplace
from dfer_data.preparation.workers import ray_pool as ray_engine
from dfer_data.preparation.workers.crew import VideoStarted, WorkerLost
from dfer_data.preparation.workers.messages import Stopped
from dfer_data.preparation.workers.ray_worker import Arrived, Orders, RayActor
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.folder import FolderTarget
from tests.dfer_data import tiny
from tests.dfer_data.locking.conftest import pictures_of
from tests.faults.conftest import DET_SIZE_PX, Run, Start, write_source
from tests.faults.test_suspects import Blows, hang, kill

NUM_CPUS = 2
SUSPECT = "copy-00/happy/single.mp4"


@dataclass(frozen=True)
class Node:
    """The cluster that all tests here share."""

    cluster: Cluster
    nodes: Any
    """Ray's own handle for tests, which can start more nodes on this machine."""

    def actors(self) -> dict[int, str]:
        """Living actors with what they are doing, such as `ray::RayActor.do`."""
        children = psutil.Process().children(recursive=True)
        found = {}
        for child in children:
            try:
                name = " ".join(child.cmdline())
            except psutil.Error:
                continue
            if name.startswith("ray::RayActor"):
                found[child.pid] = name
        return found


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """One node with two CPUs, and two GPUs that only Ray believes in; this process is connected to it."""
    own_token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}  # Ray would leave one in the home folder
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ({"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."} | own_token).items():
            patch.setenv(name, value)
        import ray
        from ray.cluster_utils import Cluster as Nodes

        head = {"num_cpus": NUM_CPUS, "num_gpus": 2, "include_dashboard": False, "object_store_memory": 100 * 2**20}
        nodes = Nodes(initialize_head=True, connect=True, head_node_args=head)
        yield Node(Cluster(nodes.address), nodes)
        ray.shutdown()
        nodes.shutdown()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, real_videos: dict[str, Path]) -> Path:
    """Seven small videos, each a shard."""
    return write_source(tmp_path_factory.mktemp("few"), real_videos, num_copies=1)


@pytest.fixture(scope="module")
def resolved(source: Path) -> ResolvedRequest:
    return resolve_request(Request(dataset="folder", source=source, det_size_px=DET_SIZE_PX, audio=True))


@pytest.fixture(scope="module")
def made(resolved: ResolvedRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an undisturbed run in this process makes."""
    out = tmp_path_factory.mktemp("expected") / "out"
    run_preparation(resolved, out, engine="inline")
    return out


@pytest.fixture(scope="module")
def expected(made: Path) -> dict[str, str]:
    """Its tree."""
    return tiny.tree(made)


def run(resolved: ResolvedRequest, out: Path, node: Node, **options: Any) -> Any:
    return run_preparation(resolved, out, engine="ray", **({"cluster": node.cluster} | options))


def test_the_same_bytes_with_more_workers_than_fit(
    node: Node, resolved: ResolvedRequest, expected: dict[str, str], tmp_path: Path
) -> None:
    """Five where two fit, each with three quarters of a GPU."""
    import ray

    events: list[PreparationEvent] = []
    free_gpus: list[float] = []

    def note(event: PreparationEvent) -> None:
        events.append(event)
        if isinstance(event, VideoStarted):
            free_gpus.append(ray.available_resources().get("GPU", 0.0))

    run(resolved, tmp_path / "out", node, cluster=replace(node.cluster, ray_gpus=0.75), num_workers=5, on_event=note)
    assert tiny.tree(tmp_path / "out") == expected
    started = [event for event in events if isinstance(event, VideoStarted)]
    assert len(started) == sum(isinstance(event, VideoDone) for event in events) == 7
    assert 1 <= len({event.pid for event in started}) <= NUM_CPUS  # each keeps its detector
    assert 0.5 in free_gpus
    assert not (tmp_path / "out" / ".work").exists()


def test_a_rebuild_from_a_lock_makes_the_same_bytes(node: Node, source: Path, made: Path, tmp_path: Path) -> None:
    lock(made, tmp_path / "a.dferlock")
    place: dict[str, Any] = {"engine": "ray", "address": node.cluster.address}
    prepare("folder", from_lock=tmp_path / "a.dferlock", source=source, out=tmp_path / "out", **place)
    assert pictures_of(tmp_path / "out") == pictures_of(made)


def test_gpus_that_no_node_has_are_one_line(node: Node, resolved: ResolvedRequest, tmp_path: Path) -> None:
    words = r"1 CPU and --ray-gpus 3, and no node .* 1 node with at most 2 CPU and 2 GPU"
    with pytest.raises(UsageError, match=words):
        run(resolved, tmp_path / "out", node, cluster=replace(node.cluster, ray_gpus=3))
    with pytest.raises(UsageError, match=r"--ray-gpus 1.5: must be a share of a GPU from 0 to 1, or a whole number"):
        Cluster(ray_gpus=1.5)


def test_an_actor_that_hangs_once_is_forgiven(
    node: Node, resolved: ResolvedRequest, expected: dict[str, str], tmp_path: Path
) -> None:
    blows = Blows(hang, most=1, suspect=SUSPECT)
    run(resolved, tmp_path / "out", node, limits=Limits(max_stall_seconds=2.0), on_event=blows)
    assert tiny.tree(tmp_path / "out") == expected
    assert [(event.clip_id, event.code, event.is_final) for event in blows.lost] == [(SUSPECT, "TIMEOUT", False)]
    assert blows.starts.pop(SUSPECT) == 2
    assert set(blows.starts.values()) == {1}


def test_a_video_that_takes_two_actors_down_is_a_row(
    node: Node, resolved: ResolvedRequest, expected: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    blows = Blows(kill, most=2, suspect=SUSPECT)
    summary = run(resolved, out, node, on_event=blows)
    assert [event.is_final for event in blows.lost] == [False, True]
    assert summary.num_clips["CRASHED"] == 1
    row = open_dataset(out).clip(SUSPECT)
    assert (row["code"], row["reason"]) == ("CRASHED", f"its process on node {os.uname().nodename} ended")
    run(resolved, out, node, revision=Revision(retry_code="CRASHED"))
    assert tiny.tree(out) == expected


def test_actors_killed_while_shards_are_written_change_no_byte(
    node: Node, resolved: ResolvedRequest, expected: dict[str, str], tmp_path: Path
) -> None:
    """Strikes the worker that has just said a video is done, while it puts the video's shard together."""
    pids: dict[str, int] = {}
    losses: list[WorkerLost] = []
    delays = iter([0.002, 0.006, 0.015])

    def strike(event: PreparationEvent) -> None:
        if isinstance(event, VideoStarted):
            pids[event.clip_id] = event.pid
        elif isinstance(event, VideoDone) and (delay := next(delays, None)) is not None:
            threading.Timer(delay, kill, [pids[event.clip_id]]).start()
        elif isinstance(event, WorkerLost):
            losses.append(event)

    run(resolved, tmp_path / "out", node, on_event=strike)
    assert tiny.tree(tmp_path / "out") == expected
    assert losses


def test_the_machine_a_run_is_started_on_needs_no_gpu(source: Path) -> None:
    """A head node often has none; its workers' nodes are asked when they start."""
    request = Request(dataset="folder", source=source, device="cuda")
    assert resolve_request(request, has_hardware=False).plan.config.device == "cuda"


def start_on(node: Node, start: Start, out: Path, source: Path) -> Run:
    return start(out, "--engine", "ray", "--address", str(node.cluster.address), source=source)


def wait_until(condition: Callable[[], bool], *, seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_runs_that_are_stopped_and_killed_leave_nobody_and_go_on(
    node: Node, start: Start, source: Path, resolved: ResolvedRequest, expected: dict[str, str], tmp_path: Path
) -> None:
    """Stopped by SIGTERM, for which Ray brings a handler of its own."""
    out = tmp_path / "out"
    first = start_on(node, start, out, source)
    first.wait_for_shards(1)
    first.process.send_signal(signal.SIGTERM)
    assert first.finish() == (130, "interrupted; finished work is kept: run the same command again to resume\n")
    wait_until(lambda: not node.actors())
    second = start_on(node, start, out, source)
    second.wait_for_shards(first.num_shards() + 1)
    os.kill(second.process.pid, signal.SIGKILL)
    second.process.wait()
    wait_until(lambda: not node.actors())
    assert not (out / "dataset.json").exists()
    run(resolved, out, node)
    assert tiny.tree(out) == expected


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "--address 127.0.0.1:1: nothing answers there"),
        ("head-node", "--address head-node: HOST:PORT of the cluster's head is needed, or auto"),
        ("ray://head:10001", "--address ray://head:10001: HOST:PORT of the cluster's head is needed"),
    ],
)
def test_an_address_out_of_reach_is_one_line_at_once(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str, words: str
) -> None:
    out = tmp_path / "out"
    line = ["prepare", "folder", "--source", str(source), "--out", str(out)]
    begin = time.monotonic()
    assert main([*line, "--engine", "ray", "--address", address]) == 2
    assert time.monotonic() - begin < 10
    (error,) = capsys.readouterr().err.splitlines()
    assert words in error
    assert not out.exists()


def test_force_removes_nothing_when_the_cluster_is_out_of_reach(prepared_here: Path, source: Path) -> None:
    line = ["prepare", "folder", "--source", str(source), "--out", str(prepared_here)]
    assert main([*line, "--engine", "ray", "--address", "127.0.0.1:1", "--force", "--yes"]) == 2
    assert (prepared_here / "plan.json").exists()


@pytest.fixture
def prepared_here(tmp_path: Path) -> Path:
    """What looks like a prepared folder to --force."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "plan.json").write_text("{}")
    return tmp_path / "out"


def test_without_ray_one_line_says_what_to_install(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    line = ["prepare", "folder", "--source", str(source), "--out", str(tmp_path / "out")]
    assert main([*line, "--engine", "ray"]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error == f"error: --engine ray needs a package that is not installed: {install_command('ray')}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flag", [("--address", "auto"), ("--ray-gpus", "1")])
def test_options_of_ray_are_refused_elsewhere(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: tuple[str, str]
) -> None:
    assert main(["prepare", "folder", "--source", str(source), "--out", str(tmp_path / "out"), *flag]) == 2
    assert f"{flag[0]}: only for --engine ray" in capsys.readouterr().err


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    """Of a run on crops, which need no detector."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").touch()
    (tmp_path / "out" / "work").mkdir(parents=True)
    config = replace(tiny.CONFIG, detector="none", backbone="", align="given")
    out = FolderTarget(tmp_path / "out")
    place = Workplace(tmp_path / "source", out, tmp_path / "out" / "work", config, None)
    return Orders(place, "a", {})


def fault(answer: object) -> str:
    assert isinstance(answer, Stopped)
    assert isinstance(answer.error, UsageError)
    return str(answer.error)


def test_a_node_that_does_not_see_the_folders_is_named(orders: Orders) -> None:
    """Else its videos would all be missing ones."""
    node = os.uname().nodename
    missing = replace(orders, first_video="b")
    path = orders.place.source / "b"
    assert f"node {node} of the cluster does not see {path}; --source must" in fault(RayActor(missing).start(None))
    orders.place.work.rmdir()
    words = f"node {node} of the cluster does not see {orders.place.work}; --out must be on a file system"
    assert words in fault(RayActor(orders).start(None))


def test_a_node_with_other_packages_is_named(orders: Orders) -> None:
    words = fault(RayActor(replace(orders, tool_versions={"numpy": "1.0", "dfer-nothing": "2"})).start(None))
    assert "instead of 1.0, dfer-nothing none instead of 2; install the same versions on every node" in words


def test_an_actor_whose_run_is_over_leaves_nothing(orders: Orders) -> None:
    """A node that was out of reach comes back after the run has ended and its folder is gone."""
    actor = RayActor(orders)
    assert isinstance(actor.start(None), Arrived)
    (desk,) = orders.place.work.iterdir()
    desk.rmdir()
    orders.place.work.rmdir()
    answer = actor.do(VideoTask(0, 0, SourceVideo("a", "a", 0, None)))
    assert isinstance(answer, Stopped)
    assert isinstance(answer.error, OSError)
    assert orders.place.out.listing() == {}


def test_marks_that_cannot_be_seen_here_end_the_run(orders: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "_SEEN_SECONDS", 0.0)
    orders.place.out.make_folders("shards")
    with pytest.raises(WorkerError, match=r"00003\.json was written by a node .* and cannot be seen here"):
        ray_engine._wait_for_sidecars([ShardTask(3, ())], orders.place)


@pytest.mark.soak
def test_a_node_that_is_lost_changes_no_byte(node: Node, real_videos: dict[str, Path], tmp_path: Path) -> None:
    """A second node on this machine goes, and with it the worker that it has.

    The last test: Ray takes a while to see that the node is gone, and gives it actors until then.
    """
    source = write_source(tmp_path / "source", real_videos, num_copies=3)
    resolved = resolve_request(Request(dataset="folder", source=source))
    second = node.nodes.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    raylet = second.all_processes["raylet"][0].process.pid
    struck: list[str] = []
    losses: list[WorkerLost] = []

    def strike(event: PreparationEvent) -> None:
        if isinstance(event, VideoStarted) and not struck and psutil.Process(event.pid).ppid() == raylet:
            struck.append(event.clip_id)
            kill(raylet)
            kill(event.pid)
        elif isinstance(event, WorkerLost):
            losses.append(event)

    try:
        run(resolved, tmp_path / "out", node, on_event=strike)
    finally:
        node.nodes.remove_node(second)
    assert [(event.clip_id, event.is_final) for event in losses if event.clip_id] == [(*struck, False)]
    run_preparation(resolved, tmp_path / "alone", engine="inline")
    assert tiny.tree(tmp_path / "out") == tiny.tree(tmp_path / "alone")
