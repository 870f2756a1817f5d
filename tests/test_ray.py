"""The second engine: a Ray cluster of two nodes on this machine, with the same tables as the local engine."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

pytest.importorskip("ray")

import tunescope
from tests.drills import kills
from tests.test_engine import refusing, results, state, work
from tests.tools import alpaca, write_rows
from tunescope.engine import map_shards
from tunescope.errors import MissingPackageError, SettingsError, UsageError, WorkError
from tunescope.runs import Run
from tunescope.runs.sums import SUMS_FILE
from tunescope.settings import EngineSettings, make
from tunescope.study import StudySettings
from tunescope.study import run as run_study

pytestmark = pytest.mark.long
STORE = 80 * 2**20
"""Bytes of /dev/shm that each node takes; Ray takes no less."""


def node(place: Path, number: int) -> dict[str, Any]:
    """Return what a node is started with: a CPU, and the ports of its agents.

    They are written down where it looks for them: it would give up after 15 seconds in which a busy machine hasn't
    started its agents, and can do all that is tested without these.
    """
    name, session = f"{number:056x}", "session_tests"
    ports = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    (place / session).mkdir(exist_ok=True)
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("", 0))) for _ in ports]
        free = {port: server.getsockname()[1] for port, server in zip(ports, servers, strict=True)}
    for port, chosen in free.items():
        (place / session / f"{port}_{name}").write_text(str(chosen))
    more = {"include_dashboard": False, "no_monitor": True, "temp_dir": str(place), "session_name": session}
    about = {"num_cpus": 1, "object_store_memory": STORE, "include_log_monitor": False, **free}
    return about | (more if number == 1 else {}) | {"env_vars": {"RAY_OVERRIDE_NODE_ID_FOR_TESTING": name}}


@pytest.fixture(scope="module")
def cluster():
    """Start two nodes, which takes some seconds; return their address as an engine."""
    from ray.cluster_utils import Cluster

    environment = pytest.MonkeyPatch()
    environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
    environment.setenv("RAY_worker_niceness", "0")  # beside other tests, 15 takes minutes
    place = Path(tempfile.mkdtemp(prefix="ray-"))  # short, for the names of sockets; other clusters' notes stay
    Path(tempfile.gettempdir(), "ray").mkdir(exist_ok=True)  # where the head notes its address
    nodes = Cluster()
    for number in (1, 2):
        nodes.add_node(**node(place, number))
    yield f"ray://{nodes.address}"
    nodes.shutdown()
    shutil.rmtree(place)
    environment.undo()


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
    assert "\n\\x1b[2J\n" in capfd.readouterr().err
    assert map_shards(work, [3, 1, 2, "talk", 5], refusing, tmp_path / "shards", two) == done
    with pytest.raises(SettingsError, match=r"^no such model$"):
        map_shards(work, [1, 2], refusing, tmp_path / "refused", two)
    with pytest.raises(ValueError, match=r"^this shard is bad$"):
        map_shards(work, [1, "fail"], partial(state, log), tmp_path / "failed", two)


def test_a_worker_that_dies_again_and_again_ends_the_run(cluster, tmp_path, capfd):
    with pytest.raises(WorkError, match=r"^4 Ray workers died at shard 00001 .*fewer --workers.* to go on$"):
        map_shards(work, [1, "die"], partial(state, tmp_path / "log"), tmp_path, EngineSettings(engine=cluster))
    assert results([tmp_path / "00000"]) == ["state 1"]
    assert not (tmp_path / "00001").exists()
    assert capfd.readouterr().err.count("a Ray worker died at shard 00001; another takes its place\n") == 3


def outputs(folder: Path) -> dict[str, object]:
    """Return every file of every run under `runs`, and of run.json all but times and the engine."""
    found = kills.content(folder)
    for name, info in found.items():
        if name.endswith("run.json"):
            assert isinstance(info, dict)
            info["settings"] = {key: each for key, each in info["settings"].items() if key not in ("engine", "workers")}
            steps = info["view"]["next"]
            info["view"]["next"] = [re.sub(r" --engine \S+| --workers \d+", "", step) for step in steps]
    return found


def write_long(place: Path) -> None:
    """Write rows of forty words, and answers that share twelve with one of them."""
    rng, words = random.Random(0), [f"word{number}" for number in range(400)]
    texts = [rng.choices(words, k=40) for _ in range(60)]
    write_rows(place / "long.jsonl", [alpaca(f"Ask {i}", " ".join(text)) for i, text in enumerate(texts)])
    said = [" ".join([*rng.choices(words, k=20), *text[9:21]]) for text in texts[:5]]
    answers = [{"prompt_id": str(i), "prompt": f"Ask {i}", "text": text} for i, text in enumerate(said)]
    write_rows(place / "long-said.jsonl", answers)


def test_the_same_files_as_the_local_engine(cluster, tmp_path, monkeypatch):
    """Of six verbs, with models in the workers; the names of runs are their keys."""
    pytest.importorskip("torch")
    pytest.importorskip("lm_eval")
    from tunescope.microworld.model import save_random_model
    from tunescope.microworld.world import make_world, open_questions

    questions = open_questions(make_world(0))
    places = {name: tmp_path / name for name in ("here", "rays")}
    for name, place in places.items():
        place.mkdir()
        monkeypatch.chdir(place)
        monkeypatch.setenv("TUNESCOPE_RUNS", "runs")
        save_random_model(place / "base", seed=0)
        save_random_model(place / "tuned", seed=1)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(place / "base" / file, place / "tuned" / file)
        write_rows(place / "rows.jsonl", [alpaca(q.prompt, q.answer) for q in questions[:80]])
        said = [{"prompt_id": str(i), "prompt": q.prompt, "text": q.answer} for i, q in enumerate(questions[:20])]
        write_rows(place / "said.jsonl", said)
        asked = [{"question": q.prompt, "choices": list(q.choices), "answer": q.gold} for q in questions[:6]]
        write_rows(place / "asked.jsonl", asked)
        write_long(place)
        engine = {"engine": cluster, "workers": 2} if name == "rays" else {}
        tunescope.measure("rows.jsonl", model="base", without=("coherence",), **engine)
        tunescope.shift(tuned="tuned", base="base", answers="said.jsonl", **engine)
        tunescope.attribute_index("rows.jsonl", embedder="none", base="base", **engine)
        tunescope.bench("asked.jsonl", model="base", shots=0, **engine)
        tunescope.trace("long.jsonl", answers="long-said.jsonl", stream=True, **engine)
        tunescope.answer("asked.jsonl", model="base", max_new_tokens=4, format="questions", **engine)
    found, expected = (outputs(place) for place in (places["rays"], places["here"]))
    for name in filter(lambda name: name.endswith("run.json"), expected):
        assert found[name] == expected[name], name  # says what differs
    kills.require_same(found, expected)
    verbs = [info["verb"] for name, info in found.items() if name.endswith("run.json")]
    of_attribute, of_trace = ["attribute gradients", "attribute index"], ["trace", "trace index"]
    assert sorted(verbs) == ["answer", *of_attribute, "bench", "measure", "shift", *of_trace]


def killed_once(log: Path, shard: int, folder: Path) -> None:
    """Work on a shard; the third dies the first time, half done."""
    with log.open("a") as file:
        file.write(f"begun {shard}\n")
    (folder / "half").touch()
    if shard == 3 and log.read_text().count("begun 3\n") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "result").write_text(str(shard * shard))
    with log.open("a") as file:
        file.write(f"done {shard}\n")


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_done_twice(cluster, tmp_path, capfd):
    log, engine = tmp_path / "log", EngineSettings(engine=cluster, workers=2)
    done = map_shards(killed_once, range(8), partial(Path, log), tmp_path / "shards", engine)
    assert results(done) == [str(shard * shard) for shard in range(8)]
    assert [sorted(path.name for path in folder.iterdir()) for folder in done] == 8 * [[SUMS_FILE, "half", "result"]]
    lines = Counter(log.read_text().splitlines())
    assert lines == Counter([f"{what} {shard}" for what in ("begun", "done") for shard in range(8)] + ["begun 3"])
    assert "a Ray worker died at shard 00003; another takes its place" in capfd.readouterr().err


def square(log: Path, shard: int, folder: Path) -> None:
    """Take a fifth of a second for a shard."""
    with log.open("a") as file:
        file.write(f"{os.getpid()} {shard}\n")
    time.sleep(0.2)
    (folder / "result").write_text(str(shard * shard))


@pytest.mark.drill
def test_workers_killed_at_twenty_random_moments(cluster, tmp_path):
    """Each shard has its result once; it begins once more for each kill, and no shard loses more than three workers."""
    log, rng, n = tmp_path / "log", random.Random(0), 100
    log.touch()
    done = Event()

    def kill() -> None:
        n_kills = 0
        while n_kills < 20 and not done.wait(rng.uniform(0.1, 1)):
            begun = [line.split() for line in log.read_text().splitlines()]
            if begun and Counter(shard for _, shard in begun)[begun[-1][1]] < 3:
                with suppress(ProcessLookupError):
                    os.kill(int(begun[-1][0]), signal.SIGKILL)
                    n_kills += 1

    killer = Thread(target=kill)
    killer.start()
    folders = map_shards(square, range(n), partial(Path, log), tmp_path / "shards", EngineSettings(engine=cluster))
    done.set()
    killer.join()
    assert results(folders) == [str(shard * shard) for shard in range(n)]
    begun = Counter(int(line.split()[1]) for line in log.read_text().splitlines())
    print(f"{n} shards, {begun.total() - n} begun again after kills of their workers; every result there once")
    assert begun.keys() == {*range(n)}
    assert n < begun.total() <= n + 20


@pytest.mark.drill
def test_the_command_killed_ten_times(cluster, tmp_path):
    pytest.importorskip("torch")
    from tunescope.microworld.model import save_random_model
    from tunescope.microworld.world import make_world, open_questions

    questions, rng = open_questions(make_world(0)), random.Random(1)
    save_random_model(tmp_path / "calm" / "tiny", seed=0)
    records = [alpaca(each.prompt, each.answer) for each in rng.choices(questions, k=64 * 30)]
    write_rows(tmp_path / "calm" / "rows.jsonl", records)
    command = ["measure", "rows.jsonl", "--model", "tiny", "--without", "coherence", "--engine", cluster]
    rounds = kills.drill(command, tmp_path, kills.shards, 10, rng, OMP_NUM_THREADS="1")
    print(f"measure on Ray: 10 kills over {rounds} runs of {len(records)} rows; every file equal")


def test_a_folder_that_the_machines_do_not_share_is_told_before_anything_is_computed(cluster, tmp_path):
    """No other process has the folder under the number that it has here."""
    own = os.open(tmp_path, os.O_RDONLY)
    place = Path(f"/proc/self/fd/{own}/shards")
    said = f"doesn't see {place} in {Path.cwd()}; type the command in a folder that all machines of the cluster share"
    with pytest.raises(WorkError, match=rf"^the machine \S+ of the Ray cluster {said}"):
        map_shards(work, [1], refusing, place, EngineSettings(engine=cluster))
    os.close(own)
    assert list((tmp_path / "shards").iterdir()) == []


def test_cells_of_a_study(cluster, tmp_path, monkeypatch, capfd):
    """Three on the cluster, of which two wait for the first; a cell that fails stops no other."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESCOPE_RUNS", "runs")
    write_rows(tmp_path / "rows.jsonl", [alpaca(f"Ask {i}", "word " * i) for i in range(1, 9)])
    steps = {
        "few": {"verb": "select", "rows": "{rows}", "sample": 4},
        "seen": {"verb": "check", "rows": "{few}/rows.jsonl"},
        "bad": {"verb": "select", "rows": "{few}/rows.jsonl", "where": "no_such > 1"},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps({"inputs": {"rows": "rows.jsonl"}, "steps": steps}))
    study = run_study(StudySettings(recipe="recipe.yaml", engine=cluster, workers=2))
    assert [step["name"] for step in study.result["steps"]] == ["few", "seen"]
    assert Run(Path(study.result["steps"][1]["run"])).result["rows"] == 4
    assert [each["name"] for each in study.result["failed"]] == ["bad"]
    assert "no_such" in study.result["failed"][0]["reason"]
    assert "── seen\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("ray://127.0.0.1:1", "nothing answers there .*see docs/how-to/scale.md for how to start a cluster"),
        ("ray://no-such-machine.invalid:6379", "nothing answers there"),
    ],
)
def test_an_address_where_nothing_answers_is_told_in_seconds(engine, said, tmp_path):
    start = time.monotonic()
    with pytest.raises(WorkError, match=f"^--engine {engine}: {said}"):
        map_shards(work, [1], refusing, tmp_path, EngineSettings(engine=engine))
    assert time.monotonic() - start < 20


def test_what_is_finished_stays_where_the_cluster_is_gone(tmp_path, monkeypatch):
    """The run isn't removed, as one is whose settings can't work."""
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "rows.jsonl", [alpaca(f"Ask {i}", f"Reply {i}") for i in range(65)])
    measure = partial(tunescope.measure, "rows.jsonl", without=("perplexity", "coherence"), out="run")
    with pytest.raises(WorkError, match="nothing answers there"):
        measure(engine="ray://127.0.0.1:1")
    (scratch,) = (tmp_path / "run").glob(".work-*")
    (scratch / "shards" / "00001").mkdir()
    record = {"row_id": "kept", "origin": "kept", "turn": 0, "reason": None}
    write_rows(scratch / "shards" / "00001" / "turns.jsonl", [record])
    with pytest.raises(WorkError, match="nothing answers there"):
        measure(engine="ray://127.0.0.1:1")
    assert [*measure().tables["turns"]["row_id"].to_pylist()][-1] == "kept"


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"type: pip install 'tunescope\[ray\]'$"):
        map_shards(work, [1], refusing, tmp_path, EngineSettings(engine="ray"))


@pytest.mark.parametrize("engine", ["rays", "ray:", "ray://", "ray://host", "ray://host:port", "ray://a:1/b", "dask"])
def test_what_is_no_engine(engine):
    with pytest.raises(UsageError, match=rf"^engine '{engine}': expected local, ray or ray://HOST:PORT$"):
        make(EngineSettings, {"engine": engine})


def test_addresses():
    engines = ["local", "ray", "ray://head.example:6379", "ray://[::1]:6379"]
    assert [make(EngineSettings, {"engine": each}).address for each in engines] == [
        None,
        "auto",
        "head.example:6379",
        "[::1]:6379",
    ]


def test_what_answers_but_is_no_cluster_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = Thread(target=answer)
        thread.start()
        engine = f"ray://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(WorkError, match=f"^--engine {engine}: what answers there isn't a Ray cluster; "):
            map_shards(work, [1], refusing, tmp_path, EngineSettings(engine=engine))
        thread.join()
