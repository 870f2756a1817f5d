"""The second engine: a Ray cluster of two nodes on this machine, with the same tables as the local engine."""

from __future__ import annotations

import os
import socket
import time
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

pytest.importorskip("ray")

from tests.test_engine import refusing, results, state, work  # noqa: E402
from tunescope.engine import map_shards  # noqa: E402
from tunescope.errors import SettingsError, WorkError  # noqa: E402
from tunescope.settings import EngineSettings  # noqa: E402

STORE = 80 * 2**20
"""Bytes of /dev/shm that each node takes; Ray takes no less."""


@pytest.fixture(scope="module")
def cluster():
    """Start two nodes with a CPU each, which takes some seconds; return their address as an engine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    nodes = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False},
    )
    nodes.add_node(num_cpus=1, object_store_memory=STORE)
    yield f"ray://{nodes.address}"
    nodes.shutdown()


def test_a_folder_per_shard_in_order_and_one_setup_for_each_worker(cluster, tmp_path, capfd):
    log, two = tmp_path / "log", EngineSettings(engine=cluster, workers=2)
    (tmp_path / "shards" / "00001").mkdir(parents=True)
    (tmp_path / "shards" / "00001" / "result").write_text("from before")
    done = map_shards(work, [3, 1, 2, "talk", 5], partial(state, log), tmp_path / "shards", two)
    assert [path.name for path in done] == ["00000", "00001", "00002", "00003", "00004"]
    assert results(done) == ["state 3", "from before", "state 2", "state talk", "state 5"]
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == [path.name for path in done]
    processes = log.read_text().split()
    assert len(processes) == len(set(processes)) <= 2
    assert str(os.getpid()) not in processes
    assert capfd.readouterr().err == "\\x1b[2J\n"
    assert map_shards(work, [3, 1, 2, "talk", 5], refusing, tmp_path / "shards", two) == done
    with pytest.raises(SettingsError, match="^no such model$"):
        map_shards(work, [1, 2], refusing, tmp_path / "refused", two)
    with pytest.raises(ValueError, match="^this shard is bad$"):
        map_shards(work, [1, "fail"], partial(state, log), tmp_path / "failed", two)


def test_a_worker_that_dies_again_and_again_ends_the_run(cluster, tmp_path, capfd):
    with pytest.raises(WorkError, match=r"^4 Ray workers died at shard 00001 .*fewer --workers.* to go on$"):
        map_shards(work, [1, "die"], partial(state, tmp_path / "log"), tmp_path, EngineSettings(engine=cluster))
    assert results([tmp_path / "00000"]) == ["state 1"]
    assert not (tmp_path / "00001").exists()
    assert capfd.readouterr().err == 3 * "a Ray worker died at shard 00001; another takes its place\n"


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("ray://127.0.0.1:1", "nothing answers there .*docs/scale.md says how to start a cluster"),
        ("ray://no-such-machine.invalid:6379", "nothing answers there"),
    ],
)
def test_an_address_where_nothing_answers_is_told_in_seconds(engine, said, tmp_path):
    start = time.monotonic()
    with pytest.raises(SettingsError, match=f"^--engine {engine}: {said}"):
        map_shards(work, [1], refusing, tmp_path, EngineSettings(engine=engine))
    assert time.monotonic() - start < 20


def test_what_answers_but_is_no_cluster_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = Thread(target=answer)
        thread.start()
        engine = f"ray://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(SettingsError, match=f"^--engine {engine}: what answers there is no Ray cluster; "):
            map_shards(work, [1], refusing, tmp_path, EngineSettings(engine=engine))
        thread.join()
