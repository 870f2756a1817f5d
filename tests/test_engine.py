"""One engine: shards, workers, resuming, and what happens when something dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.tools import ROOT
from tunescope.engine import cores, map_shards
from tunescope.errors import SettingsError, WorkError
from tunescope.settings import EngineSettings


def state(log: Path) -> str:
    with log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    return "state"


def refusing() -> None:
    raise SettingsError("no such model")


def work(found: str, shard: int | str, folder: Path) -> None:
    """Write what is known; a shard that is a word misbehaves."""
    assert list(folder.iterdir()) == []
    (folder / "pid").write_text(str(os.getpid()))
    if shard == "fail":
        raise ValueError("this shard is bad")
    if shard == "talk":
        print("\x1b[2J", file=sys.stderr)
    if shard == "die":
        os._exit(1)
    if shard == "sleep":
        (folder.parent / f"asleep-{os.getpid()}").touch()
        time.sleep(60)
    (folder / "result").write_text(f"{found} {shard}")


def results(folders: list[Path]) -> list[str]:
    return [(folder / "result").read_text() for folder in folders]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_for(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_per_shard_in_order_whatever_the_workers(tmp_path, workers, capfd):
    log = tmp_path / "log"
    done = map_shards(
        work, [3, 1, 2, "talk"], partial(state, log), tmp_path / "shards", EngineSettings(workers=workers)
    )
    assert [path.name for path in done] == ["00000", "00001", "00002", "00003"]
    assert results(done) == ["state 3", "state 1", "state 2", "state talk"]
    if workers > 1:  # each has its gate; here the caller decides
        assert r"\x1b[2J" in capfd.readouterr().err
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == [path.name for path in done]
    processes = log.read_text().split()
    assert len(processes) == len(set(processes)) <= workers
    assert (str(os.getpid()) in processes) == (workers == 1)


def test_finished_shards_are_kept_and_half_written_ones_done_again(tmp_path):
    (tmp_path / "00000").mkdir()
    (tmp_path / "00000" / "result").write_text("from before")
    (tmp_path / "00001.0a1b2c3d.part").mkdir()
    (tmp_path / "00001.0a1b2c3d.part" / "half").touch()
    done = map_shards(work, [7, 8], partial(state, tmp_path / "log"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000", "00001", "log"]
    assert results(done) == ["from before", "state 8"]
    assert sorted(path.name for path in done[1].iterdir()) == [".sums.json", "pid", "result"]


def test_nothing_to_do_sets_nothing_up(tmp_path):
    (tmp_path / "00000").mkdir()
    assert map_shards(work, ["fail"], refusing, tmp_path) == [tmp_path / "00000"]
    assert map_shards(work, [], refusing, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_told_as_it_is_and_what_is_finished_stays(tmp_path, workers):
    with pytest.raises(ValueError, match="this shard is bad"):
        map_shards(work, [1, "fail", 2], partial(state, tmp_path / "log"), tmp_path, EngineSettings(workers=workers))
    assert results([tmp_path / "00000"]) == ["state 1"]
    assert not (tmp_path / "00001").exists()
    done = map_shards(work, [1, 9, 2], partial(state, tmp_path / "log"), tmp_path, EngineSettings(workers=workers))
    assert results(done) == ["state 1", "state 9", "state 2"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_refusal_while_setting_up_is_told_as_it_is(tmp_path, workers):
    with pytest.raises(SettingsError, match="no such model"):
        map_shards(work, [1, 2], refusing, tmp_path, EngineSettings(workers=workers))


def test_a_worker_that_dies_is_told(tmp_path):
    with pytest.raises(WorkError, match="fewer --workers to go on"):
        map_shards(work, ["die", 1], partial(state, tmp_path / "log"), tmp_path, EngineSettings(workers=2))
    assert not (tmp_path / "00000").exists()


def test_an_error_does_not_wait_for_the_other_workers(tmp_path):
    start = time.monotonic()
    with pytest.raises(ValueError, match="this shard is bad"):
        map_shards(
            work,
            ["sleep", "fail", "sleep", "sleep"],
            partial(state, tmp_path / "log"),
            tmp_path,
            EngineSettings(workers=2),
        )
    assert time.monotonic() - start < 20
    assert all(wait_for(partial(gone, int(pid))) for pid in (tmp_path / "log").read_text().split())


SCRIPT = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.test_engine import state, work
from tunescope.engine import map_shards
from tunescope.settings import EngineSettings
here = Path({folder!r})
with (here / "script").open("a") as file:
    file.write("x")
map_shards(work, {shards!r}, partial(state, here / "log"), here / "shards", EngineSettings(workers=2))
"""


def start_script(folder: Path, shards: list[int | str]) -> subprocess.Popen[bytes]:
    """Start a script without a __main__ guard that maps shards over two workers."""
    (folder / "script.py").write_text(SCRIPT.format(root=str(ROOT), folder=str(folder), shards=shards))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(
        [sys.executable, folder / "script.py"], env=environment, stderr=subprocess.PIPE, start_new_session=True
    )


@pytest.mark.slow
def test_a_script_needs_no_main_guard(tmp_path):
    process = start_script(tmp_path, [1, 2, 3])
    talk = process.communicate(timeout=60)[1]
    assert process.returncode == 0, talk
    assert (tmp_path / "script").read_text() == "x"
    assert len(list((tmp_path / "shards").glob("*/result"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_workers_leave_with_the_process_that_started_them(tmp_path, sign):
    process = start_script(tmp_path, ["sleep", "sleep", "sleep"])
    try:
        assert wait_for(lambda: len(list(tmp_path.glob("shards/asleep-*"))) == 2)
        workers = [int(path.name.partition("-")[2]) for path in tmp_path.glob("shards/asleep-*")]
        os.kill(process.pid, sign)
        assert all(wait_for(partial(gone, pid)) for pid in workers)
        talk = process.communicate(timeout=20)[1].decode()
        assert process.returncode == -sign
        assert "Process SpawnProcess" not in talk
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_cores():
    assert cores() == len(os.sched_getaffinity(0))
