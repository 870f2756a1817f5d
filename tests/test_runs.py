"""Run folders: the key, once only, going on, and what is refused."""

from __future__ import annotations

import fcntl
import gc
import json
import math
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunescope
from tests.tools import ROOT
from tunescope import runs
from tunescope.errors import InputError, Problem, RunError, SettingsError, WorkError
from tunescope.runs import INPUT, NOT_IN_KEY, Outcome, Run, RunFolder
from tunescope.views import Table, View


@dataclass(frozen=True, kw_only=True)
class Settings:
    rows: tuple[str, ...] = field(default=("a",), metadata=INPUT)
    level: float = 0.5
    words: tuple[str, ...] = ()
    workers: int = field(default=1, metadata=NOT_IN_KEY)
    out: str | None = runs.out_field()


PLAIN = Settings()
VIEW = View(("One sentence.",), (Table("T", ("a", "b"), (("x", 1), (None, 2.5)), "note"),), ("tunescope why x",))


class Work:
    """Work that counts how often it was asked, and can break off in the middle."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.times = 0
        self.error = error

    def __call__(self, folder: RunFolder) -> Outcome:
        self.times += 1
        (folder.scratch / "shard").touch()
        if self.error is not None:
            raise self.error
        folder.table("rows", pa.table({"row_id": ["a", "b"]}))
        folder.records("notes", [{"n": 1}, {"n": 2}])
        return Outcome({"rows": 2}, VIEW)


def execute(work: Work, settings: Settings = PLAIN, version: int = 1, inputs: dict[str, str] | None = None) -> Run:
    return runs.execute("check", version, settings, {"a": "hash"} if inputs is None else inputs, work)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_run_holds_what_the_work_wrote_and_run_json_last(workplace):
    run = execute(Work())
    assert names(run.path) == [".lock", "notes.jsonl", "rows.parquet", "run.json"]
    assert run.path == Path("runs") / f"check-{run.key}"
    assert run.info["outputs"] == {
        "notes.jsonl": 18,
        "rows.parquet": (run.path / "rows.parquet").stat().st_size,
    }
    assert run.info["inputs"] == {"a": "hash"}
    assert run.info["settings"] == {"rows": ["a"], "level": 0.5, "words": [], "workers": 1, "out": None}
    assert run.info["versions"]["numpy"] == np.__version__
    assert (run.verb, run.info["version"], run.info["device"]) == ("check", 1, "cpu")
    assert run.result == {"rows": 2, "run": str(run.path)}
    assert run.view == VIEW
    assert run.settings["level"] == 0.5
    assert list(run.records("notes")) == [{"n": 1}, {"n": 2}]
    assert list(run.tables) == ["rows"]
    assert len(run.tables) == 1
    assert "rows" in run.tables
    assert "notes" not in run.tables
    assert run.tables["rows"].to_pydict() == {"row_id": ["a", "b"]}
    with pytest.raises(KeyError, match="nothing: the tables here are rows"):
        run.tables["nothing"]
    assert repr(run) == f"Run({str(run.path)!r})"
    assert "<p>One sentence.</p>" in run._repr_html_()


def test_the_same_run_is_not_done_twice(workplace, capsys):
    work = Work()
    first, second = execute(work), execute(work, replace(PLAIN, workers=8, rows=("elsewhere",)))
    assert (work.times, first.path) == (1, second.path)
    assert "holds this run already; nothing was run again" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"settings": replace(PLAIN, level=0.6)},
        {"settings": replace(PLAIN, words=("a",))},
        {"version": 2},
        {"inputs": {"a": "other"}},
        {"inputs": {"a": "hash", "b": "hash"}},
        {"inputs": {}},
    ],
)
def test_what_changes_results_changes_the_key(workplace, change):
    assert execute(Work()).path != execute(Work(), **change).path


def test_the_order_of_inputs_counts_and_their_names_do_not():
    def key(inputs: dict[str, str]) -> str:
        return runs.run_key("check", 1, PLAIN, inputs)

    assert key({"a": "1", "b": "2"}) == key({"x": "1", "y": "2"}) != key({"a": "2", "b": "1"})
    assert runs.run_key("select", 1, PLAIN, {}) != runs.run_key("check", 1, PLAIN, {})


@pytest.mark.slow
def test_a_key_is_the_same_in_every_process():
    code = "from tests.test_runs import *; print(runs.run_key('check', 1, PLAIN, {'a': 'hash'}))"
    keys = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    text = '["check", 1, {"level": 0.5, "words": []}, ["hash"]]'
    assert keys == {blake2b(text.encode(), digest_size=6).hexdigest()}


def test_runs_lie_where_the_variable_says(workplace, monkeypatch):
    monkeypatch.setenv("TUNESCOPE_RUNS", str(workplace / "my runs"))
    assert execute(Work()).path.parent == workplace / "my runs"
    monkeypatch.delenv("TUNESCOPE_RUNS")
    assert execute(Work()).path.parent == Path("runs")


@pytest.mark.parametrize("error", [RuntimeError("broke"), WorkError("died"), KeyboardInterrupt()])
def test_what_breaks_off_goes_on_with_its_scratch(workplace, error):
    with pytest.raises(type(error)):
        execute(Work(error))
    (folder,) = Path("runs").iterdir()
    assert names(folder) == [".lock", folder.name.replace("check-", ".work-")]
    seen = []

    def work(folder: RunFolder) -> Outcome:
        seen.extend(names(folder.scratch))
        return Outcome({}, VIEW)

    run = runs.execute("check", 1, PLAIN, {"a": "hash"}, work)
    assert seen == ["shard"]
    assert names(run.path) == [".lock", "run.json"]


@pytest.mark.parametrize("has_work", [False, True])
def test_a_refused_file_of_ours_leaves_no_folder_but_work_that_was_done_stays(workplace, has_work):
    def work(folder: RunFolder) -> Outcome:
        if has_work:
            (folder.scratch / "replies").touch()
        raise RunError("no journal")

    with pytest.raises(RunError, match="no journal"):
        runs.execute("verb", 1, PLAIN, {}, work)
    assert [path.name for path in workplace.glob("runs/*/.*/*")] == (["replies"] if has_work else [])
    assert any(workplace.glob("runs/*")) == has_work


@pytest.mark.parametrize("error", [InputError([Problem("f", 1, "x", "y")]), SettingsError("no")])
def test_a_refusal_leaves_no_folder(workplace, error):
    with pytest.raises(type(error)):
        execute(Work(error))
    assert names(Path("runs")) == []
    Path("mine").mkdir()
    with pytest.raises(type(error)):
        execute(Work(error), replace(PLAIN, out="mine"))
    execute(Work(), replace(PLAIN, out="mine"))


def test_what_a_kill_left_behind_goes(workplace):
    run = execute(Work())
    info = (run.path / "run.json").read_bytes()
    for stale in (".work-0123456789ab", f".work-{run.key}"):
        (run.path / stale).mkdir()
    (run.path / ".rows.parquet.part").touch()
    (run.path / "run.json").unlink()
    again = execute(Work())
    assert names(again.path) == [".lock", "notes.jsonl", "rows.parquet", "run.json"]
    assert Run(again.path).info["outputs"] == json.loads(info)["outputs"]
    (run.path / f".work-{run.key}" / "half").mkdir(parents=True)
    assert names(execute(Work()).path) == [".lock", "notes.jsonl", "rows.parquet", "run.json"]


def test_out_names_the_folder(workplace):
    run = execute(Work(), replace(PLAIN, out="here/and there"))
    assert run.path == Path("here/and there")
    assert execute(Work(), replace(PLAIN, out="here/and there")).key == run.key


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("a file", "a file: found a file; expected a folder; name another with --out"),
        ("a file/x/y", "a file: found a file; expected a folder; name another with --out"),
        (
            "new one.JSONL",
            "new one.JSONL: found the name of a file; expected that of a folder, in which the run's files will lie; "
            "type --out 'new one'",
        ),
        (
            "rows.jsonl.gz",
            "rows.jsonl.gz: found the name of a file; expected that of a folder, in which the run's files will lie; "
            "type --out rows",
        ),
        ("mine", "mine: found other files; expected an empty or a new folder; remove it or name another with --out"),
    ],
)
def test_out_never_mixes_with_other_files(workplace, place, sentence):
    Path("a file").touch()
    Path("mine").mkdir()
    Path("mine/thesis.tex").touch()
    with pytest.raises(RunError) as caught:
        execute(Work(), replace(PLAIN, out=place))
    assert str(caught.value) == sentence
    assert names(Path("mine")) == ["thesis.tex"]


def test_out_that_holds_another_finished_run(workplace):
    run = execute(Work(), replace(PLAIN, out="x"))
    with pytest.raises(RunError, match=rf"x holds another run \(check, key {run.key}\); name another folder"):
        execute(Work(), replace(PLAIN, out="x", level=0.7))


def test_out_that_holds_a_plan_is_taken_by_the_work_that_it_planned(workplace):
    def plan(level: float) -> Run:
        settings = replace(PLAIN, out="x", level=level)
        return runs.execute("check plan", 1, settings, {"a": "hash"}, lambda folder: Outcome({"minutes": 1}, VIEW))

    plan(0.7)
    assert plan(0.5).verb == "check plan"
    with pytest.raises(RuntimeError):
        execute(Work(RuntimeError()), replace(PLAIN, out="x"))
    run = execute(Work(), replace(PLAIN, out="x"))
    assert (run.verb, names(run.path)) == ("check", [".lock", "notes.jsonl", "rows.parquet", "run.json"])
    with pytest.raises(RunError, match="x holds another run"):
        plan(0.5)


def test_out_that_holds_another_unfinished_run(workplace):
    """Its tables would pass for the new run's; with nothing but scratch there, it is simply taken over."""
    with pytest.raises(RuntimeError):
        execute(Work(RuntimeError()), replace(PLAIN, out="x"))
    Path("x/rows.parquet").touch()
    with pytest.raises(RunError, match="x: found an unfinished run with other settings or input"):
        execute(Work(), replace(PLAIN, out="x", level=0.7))
    Path("x/rows.parquet").unlink()
    run = execute(Work(), replace(PLAIN, out="x", level=0.7))
    assert names(run.path) == [".lock", "notes.jsonl", "rows.parquet", "run.json"]


def test_two_at_once(workplace):
    def work(folder: RunFolder) -> Outcome:
        with pytest.raises(RunError, match="is in use by another tunescope; wait for it or stop it"):
            execute(Work())
        with (folder.path / ".lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Outcome({}, VIEW)

    execute(work)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "a folder that is no run"),
        ("{", "found no run record"),
        ("[1]", "found no run record"),
        ('{"verb": "check"}', "found no run record ('key')"),
    ],
)
def test_what_is_no_run(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError) as caught:
        tunescope.open(tmp_path)
    assert sentence in str(caught.value)
    with pytest.raises(RunError, match="found no such folder"):
        tunescope.open(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="found a file"):
        tunescope.open(tmp_path / "file")
    run = tmp_path / "runs" / "check-1"
    (run / ".work-1").mkdir(parents=True)
    with pytest.raises(RunError, match="found an unfinished run"):
        tunescope.open(run)
    (run / "run.json").write_text("{}")
    (tmp_path / "run.json").unlink(missing_ok=True)
    with pytest.raises(RunError, match=rf"a folder that holds runs \(name each, for example {run}\)"):
        tunescope.open(tmp_path)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_joined_arrays_are_the_file_that_numpy_writes(tmp_path, shape):
    draws = np.random.default_rng(0)
    arrays = [draws.random((length, *shape)).astype(np.float32) for length in (4, 0, 1)]
    for number, array in enumerate(arrays):
        np.save(tmp_path / f"{number}.npy", array)
    folder = RunFolder(tmp_path, "key")
    folder.joined_array("joined", [tmp_path / f"{number}.npy" for number in range(3)])
    folder.array("whole", np.concatenate(arrays))
    assert (tmp_path / "joined.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_flipped_bit_in_a_table_is_noticed(tmp_path, share):
    table = pa.table({"number": np.random.default_rng(0).random(5_000)})
    RunFolder(tmp_path, "key").table("numbers", table)
    (tmp_path / "run.json").write_text('{"key": "key", "verb": "check"}', "utf-8")
    run = Run(tmp_path)
    assert run.tables["numbers"].equals(table)
    assert run.tables.read("numbers", ["number", "absent"]).column_names == ["number"]
    path = tmp_path / "numbers.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[int(share * len(damaged))] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(RunError, match=r"numbers\.parquet: found a damaged file .*CRC"):
        run.tables["numbers"]


def test_finished_runs_oldest_first_and_strangers_left_out(workplace, capsys):
    found = [execute(Work(), replace(PLAIN, level=level)) for level in (0.3, 0.1, 0.2)]
    for age, run in enumerate(found):
        os.utime(run.path / "run.json", (age, age))
    Path("runs/tensorboard").mkdir()
    Path("runs/tensorboard/run.json").write_text("{}")
    Path("runs/unfinished").mkdir()
    assert [run.path for run in runs.finished_runs()] == [run.path for run in found]
    assert "left out: runs/tensorboard/run.json: found no run record" in capsys.readouterr().err


def test_runs_named_twice(workplace):
    run, other = execute(Work()), execute(Work(), replace(PLAIN, level=0.1))
    assert [r.key for r in runs.open_runs([str(run.path), str(other.path)])] == [run.key, other.key]
    with pytest.raises(SettingsError, match="the same run is named twice"):
        runs.open_runs([str(run.path), f"{run.path}/."])


def test_numbers_that_json_cannot_hold(workplace):
    def work(folder: RunFolder) -> Outcome:
        folder.records("notes", [{"loss": math.nan}])
        result = {"nan": math.nan, "inf": [np.float64("inf")], "int": np.int64(3), "when": date(2020, 1, 2)}
        return Outcome(result, View(("s",), (Table("T", ("a",), ((math.inf,),)),)))

    run = runs.execute("check", 1, PLAIN, {}, work)
    assert {k: v for k, v in run.result.items() if k != "run"} == {
        "nan": None, "inf": [None], "int": 3, "when": "2020-01-02",
    }  # fmt: skip
    assert list(run.records("notes")) == [{"loss": None}]
    assert run.view.tables[0].rows == ((None,),)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text()
    | st.builds(np.float32, st.floats(width=32)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_plain_values_are_json_and_stay_as_they_are(value):
    text = json.dumps(runs.plain(value), allow_nan=False)
    assert runs.plain(json.loads(text)) == json.loads(text) == runs.plain(value)


def test_home_is_where_why_looks(workplace):
    def work(folder: RunFolder) -> Outcome:
        return Outcome({"home": folder.is_under_runs_root}, VIEW)

    assert runs.execute("a", 1, PLAIN, {}, work).result["home"] is True
    assert runs.execute("a", 1, replace(PLAIN, out="x/y"), {}, work).result["home"] is False
    assert runs.execute("b", 1, replace(PLAIN, out="runs/y"), {}, work).result["home"] is True


class Unsure:
    """Work on items of which some have no reply: `open` and `settled` of them, a file for each; it may break off."""

    def __init__(self, open: int, settled: int = 0, error: BaseException | None = None) -> None:
        self.open, self.settled, self.error = open, settled, error
        self.times = 0

    def __call__(self, folder: RunFolder) -> Outcome:
        self.times += 1
        (folder.scratch / "log").touch()
        for number in range(self.open + self.settled):
            folder.text(f"missing-{number}.txt", "no reply")
        folder.text("all.txt", f"{self.open} {self.settled}")
        if self.error is not None:
            raise self.error
        return Outcome({}, VIEW, self.open, self.settled)


@dataclass(frozen=True, kw_only=True)
class AskingSettings(Settings):
    again: bool = field(default=False, metadata=NOT_IN_KEY)


def test_an_open_run_is_worked_on_again_until_it_isnt(workplace):
    first = execute(Unsure(2))
    assert (first.open, first.info["open"], first.identity) == (2, 2, f"{first.key} with 2 open, 0 settled")
    assert names(first.path) == [".lock", f".work-{first.key}", "all.txt", "missing-0.txt", "missing-1.txt", "run.json"]
    execute(Unsure(1))
    assert "missing-1.txt" not in names(first.path)
    done = execute(Unsure(0))
    assert (done.open, done.identity, done.path) == (0, done.key, first.path)
    assert names(done.path) == [".lock", "all.txt", "run.json"]
    work = Unsure(0)
    execute(work)
    assert work.times == 0


def test_what_is_settled_is_worked_on_again_only_with_again(workplace):
    run = execute(Unsure(0, 1), AskingSettings())
    work = Unsure(0)
    assert (execute(work, AskingSettings()).settled, work.times) == (1, 0)
    assert f".work-{run.key}" in names(run.path)
    run = execute(work, AskingSettings(again=True))
    assert (run.settled, work.times, names(run.path)) == (0, 1, [".lock", "all.txt", "run.json"])
    assert execute(work, AskingSettings(again=True)).key == run.key
    assert work.times == 1


@pytest.mark.parametrize("error", [WorkError("died"), KeyboardInterrupt()])
def test_an_open_run_that_breaks_off_while_it_is_written_anew_goes_on(workplace, error):
    """Its record goes before its first file does; what it no longer writes goes too."""
    run = execute(Unsure(2))
    (run.path / "journal.sqlite").touch()
    (run.path / "mine.txt").write_text("a note of the user's")
    with pytest.raises(type(error)):
        execute(Unsure(1, error=error))
    with pytest.raises(RunError, match="an unfinished run"):
        Run(run.path)
    execute(Unsure(1))
    assert names(run.path) == sorted(
        [".lock", f".work-{run.key}", "all.txt", "journal.sqlite", "mine.txt", "missing-0.txt", "run.json"]
    )


def test_a_record_names_no_files_elsewhere_to_be_removed(workplace):
    (workplace / "precious.txt").touch()
    run = execute(Unsure(1))
    info = json.loads((run.path / "run.json").read_text("utf-8"))
    info["outputs"]["../../precious.txt"] = info["outputs"][str(workplace / "precious.txt")] = 0
    (run.path / "run.json").write_text(json.dumps(info))
    execute(Unsure(0))
    assert (workplace / "precious.txt").exists()


def test_reasons_that_differ_in_numbers_are_one():
    failures = [("503: busy, try 1 of 7", False), ("503: busy, try 3 of 7", False), ("500: busy, try 1 of 7", False)]
    failures += [(f"400: {n:,} tokens are too many", True) for n in (1200, 99)]
    counts = runs.Unanswered.of(9, "rows", failures)
    assert counts.open == {"503: busy, try 1 of 7": 2, "500: busy, try 1 of 7": 1}
    assert counts.settled == {"400: 1,200 tokens are too many": 2}
    outcome = counts.added_to({"rows": 9}, VIEW)
    assert (outcome.open, outcome.settled, outcome.result["open"], outcome.result["settled"]) == (3, 2, 3, 2)
    assert outcome.view.sentences == (
        "This run is open: there is no reply yet for 3 of 9 rows (2 × 503: busy, try 1 of 7; 1 × 500: busy, try 1 of "
        "7). The same command asks again.",
        "One sentence.",
        "No reply can be had for 2 of 9 rows (2 × 400: 1,200 tokens are too many). The same command asks again only "
        "with --again.",
    )
    many = runs.Unanswered.of(9, "rows", [(word, False) for word in "abcde"]).added_to({}, VIEW)
    assert "(1 × a; 1 × b; 1 × c; 2 for other reasons)" in many.view.sentences[0]


@given(st.lists(st.tuples(st.text(max_size=9), st.booleans())))
def test_every_failure_is_counted(failures):
    outcome = runs.Unanswered.of(len(failures), "rows", failures).added_to({}, VIEW)
    assert (
        outcome.open == sum(not is_for_good for _, is_for_good in failures) == sum(outcome.result["open_by"].values())
    )
    assert outcome.settled == sum(is_for_good for _, is_for_good in failures)


def test_what_reads_an_open_run_says_so_once(workplace, capsys):
    run = execute(Unsure(1))
    (run.path / "journal.sqlite").touch()
    said = f"{run.path} is open (1 item without a reply yet), and is used here as it is; "
    said += "type its command again, then this one."
    for names_of_it in ([f"answers {run.path}"], [str(run.path), f"{run.path}/all.txt"]):
        user = execute(Work(), inputs=dict.fromkeys(names_of_it, "its hash"))
        assert user.view.sentences == ("One sentence.", said)
        assert said in capsys.readouterr().err
    for other in ("text", str(run.path / "journal.sqlite"), str(run.path / "no such file")):
        assert execute(Work(), inputs={other: f"hash of {other}"}).view == VIEW
    finished = execute(Unsure(0))
    assert execute(Work(), inputs={str(finished.path): "finished"}).view == VIEW


@pytest.mark.parametrize("fails", [False, True])
def test_python_looks_for_garbage_less_often_while_a_run_works(tmp_path, monkeypatch, fails):
    monkeypatch.chdir(tmp_path)
    before = gc.get_threshold()
    seen = []

    def work(folder):
        seen.append(gc.get_threshold()[0])
        if fails:
            raise WorkError("no")
        return Outcome({}, View(()))

    with pytest.raises(WorkError) if fails else nullcontext():
        runs.execute("check", 1, PLAIN, {}, work)
    assert seen == [10_000]
    assert gc.get_threshold() == before
