"""Every verb that writes a run, in every trouble: the same drills over a table of commands.

A full disk, one that can't be written, two commands on one folder, damaged work, and an input that changed. In
`make test-all` a few verbs pass through each; `make drill` has all.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("pysbd")
pytest.importorskip("lm_eval")

from tests.drills.cases import CASES, QUIET, change, copy, write
from tests.drills.counts import count
from tests.drills.kills import content, end, finish, require_same, start
from tests.drills.troubles import PAGE, damage, fill, make_read_only, small_disk

SHORT = ("check", "repair rate", "answer")
"""The verbs of `make test-all`: one with shards, one with a journal, one with a log of records."""
DISK = 64 << 20


@pytest.fixture(autouse=True)
def warmed(monkeypatch):
    """Fork processes also in `make drill`: nothing here depends on how a process came to be."""
    monkeypatch.setenv("TUNESCOPE_COLD", "")


def words(verb: str) -> list[str]:
    """Return what is typed."""
    return shlex.split(CASES[verb].command)


def run(verb: str, folder: Path, *more: str) -> tuple[int, str]:
    """Run a verb's command; return its exit code and what it said."""
    process = start([*words(verb), *more], folder, **QUIET)
    talk = process.communicate(timeout=300)[1]
    assert "Traceback" not in talk, talk
    return process.returncode, talk


def refusal(talk: str) -> str:
    """Return the one sentence in which a command was refused."""
    sentences = re.findall(r"^tunescope: (.*(?:\n  .*)*)", talk, re.MULTILINE)
    assert len(sentences) == 1, talk
    return sentences[0]


def finished(folder: Path) -> list[Path]:
    """Return the runs that are done."""
    return [path.parent for path in folder.glob("runs/*/run.json")]


def calm(verb: str, folder: Path) -> dict[str, object]:
    """Write a verb's inputs, and return what an undisturbed run makes of them, but for journals."""
    write(CASES[verb], folder)
    finish(words(verb), folder, **QUIET)
    return what_counts(folder)


def what_counts(folder: Path) -> dict[str, object]:
    """Return what runs hold, but for journals (times and order are their own) and what isn't a run's."""
    kept = {}
    for name, data in content(folder).items():
        if name.endswith(".filler") or "journal.sqlite" in name:
            continue
        if isinstance(data, dict):
            data["outputs"] = {key: size for key, size in data["outputs"].items() if "journal.sqlite" not in key}
        kept[name] = data
    return kept


# ------------------------------------------------------------------ a full disk


def full(verb: str, folder: Path, sizes: list[int]) -> int:
    """Run a verb with less and more room; after a refusal there is room, and the same command goes on."""
    expected = calm(verb, folder / "calm")
    refused = 0
    place = copy(folder / "calm", folder / "full")
    with small_disk(place / "runs", DISK) as disk:
        for free in sizes:
            filler = fill(disk, free)
            code, talk = run(verb, place)
            if code != 0:
                refused += 1
                left_open = verb == "study run" and code == 4  # a step failed, and the study is there
                sentence = talk if left_open else refusal(talk)
                assert code == 1 or left_open, talk
                assert "no room" in sentence, sentence
                assert "runs" in sentence, sentence
                assert "type the same command again" in sentence, sentence
                assert not list(place.glob("runs/**/*.part")), "something half-written is left"
            filler.unlink()
            if code != 0 or verb == "study run":
                finish(words(verb), place, **QUIET)
            require_same(what_counts(place), expected)
            for path in disk.iterdir():
                shutil.rmtree(path)
            if code == 0:
                break
    return refused


@pytest.mark.parametrize("verb", SHORT)
def test_a_full_disk(tmp_path, verb):
    assert full(verb, tmp_path, [0, 2 * PAGE]) > 0


@pytest.mark.drill
@pytest.mark.parametrize("verb", CASES)
def test_a_disk_that_is_full_at_every_stage(tmp_path, verb):
    refused = full(verb, tmp_path, [0, *(PAGE * 2**n for n in range(13))])
    assert refused > 0
    count(verb, "full disk", refused, refused + 1, "one sentence; with room, every file")


# ------------------------------------------------------------------ a disk that can't be written


def read_only(verb: str, folder: Path) -> None:
    """Run a verb where it can't write: with nothing there, and where a run was broken off."""
    write(CASES[verb], folder)
    with small_disk(folder / "runs", DISK) as disk:
        make_read_only(disk)
        for more in ((), ("--out", "runs/named")):
            code, talk = run(verb, folder, *more)
            assert code == 1, talk
            sentence = refusal(talk)
            assert "can't be written" in sentence, sentence
            assert "--out" in sentence, sentence
            assert [line for line in talk.splitlines() if not line.startswith("tunescope: ")] == [], talk


@pytest.mark.parametrize("verb", SHORT)
def test_a_read_only_disk(tmp_path, verb):
    read_only(verb, tmp_path / "place")


@pytest.mark.drill
@pytest.mark.parametrize("verb", CASES)
def test_a_read_only_disk_for_every_verb(tmp_path, verb):
    read_only(verb, tmp_path / "place")
    count(verb, "read-only folder", 2, 2, "one sentence, before anything is computed")


# ------------------------------------------------------------------ two commands on one folder


def two(verb: str, folder: Path) -> None:
    """Stop a command in the middle, start the same one beside it, and let the first go on."""
    expected = calm(verb, folder / "calm")
    place = copy(folder / "calm", folder / "both")
    first = start(words(verb), place, **QUIET)
    limit = time.monotonic() + 60
    while not list(place.glob("runs/*/.work-*")) and first.poll() is None:
        assert time.monotonic() < limit
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        assert len(finished(place)) < sum(name.endswith("/run.json") for name in expected), "the first was done already"
        code, talk = run(verb, place)
        assert code == 1, talk
        assert "is in use by another tunescope; wait for it or stop it" in refusal(talk)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
        talk = first.communicate(timeout=300)[1]
    assert first.returncode == 0, talk
    require_same(what_counts(place), expected)


@pytest.mark.parametrize("verb", SHORT)
def test_two_on_one_folder(tmp_path, verb):
    two(verb, tmp_path)


@pytest.mark.drill
@pytest.mark.parametrize("verb", CASES)
def test_two_on_one_folder_for_every_verb(tmp_path, verb):
    two(verb, tmp_path)
    count(verb, "two on one folder", 1, 2, "the second refuses in one sentence; every file of the first")


# ------------------------------------------------------------------ damaged work


def broken_off(verb: str, folder: Path, rng: random.Random) -> Path | None:
    """Kill a verb at work, and return its folder with what it had kept; None where it ended before."""
    process = start(words(verb), folder, **QUIET)
    while process.poll() is None and not kept_files(folder):
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.05))
    end(process)
    return folder if kept_files(folder) and not all_done(verb, folder) else None


def all_done(verb: str, folder: Path) -> bool:
    """Tell whether the command's own run is there."""
    name = verb.partition(",")[0].replace(" ", "-").replace("study-run", "study")
    return any(re.fullmatch(rf"{name}-[0-9a-f]{{12}}", path.name) for path in finished(folder))


def kept_files(folder: Path) -> list[Path]:
    """Return the files that an unfinished run goes on from."""
    return [
        path
        for place in folder.glob("runs/*")
        if not (place / "run.json").is_file()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name != ".lock" and ".part" not in str(path) and path.stat().st_size
    ]


def damaged(verb: str, folder: Path, times: int, seed: int) -> tuple[int, int]:
    """Damage what a killed run had kept, one file at a time, and go on; return how often, and how often it was said."""
    rng = random.Random(seed)
    expected = calm(verb, folder / "calm")
    landed = said = 0
    for number in range(4 * times):
        if landed == times:
            break
        place = copy(folder / "calm", folder / f"d{number:03}")
        if broken_off(verb, place, rng) is not None:
            path = rng.choice(kept_files(place))
            how = damage(path, rng)
            code, talk = run(verb, place)
            assert code == 0, f"{path.relative_to(place)}, {how}: {talk}"
            require_same(what_counts(place), expected)
            landed += 1
            said += "damaged" in talk
        shutil.rmtree(place)
    return landed, said


@pytest.mark.parametrize("verb", SHORT)
def test_damaged_work(tmp_path, verb):
    if damaged(verb, tmp_path, times=2, seed=0)[0] == 0:
        pytest.skip(f"{verb} was done before it could be killed, twice")


@pytest.mark.drill
@pytest.mark.parametrize("verb", CASES)
def test_damaged_work_of_every_verb(tmp_path, verb):
    landed, said = damaged(verb, tmp_path, times=10, seed=1)
    if landed == 0:
        pytest.skip(f"{verb} keeps nothing that it goes on from, or is done before it can be killed")
    count(verb, "damaged work", landed, landed, "every file", f"said of {said}")


# ------------------------------------------------------------------ an input that changed


def changed(verb: str, folder: Path) -> None:
    """Change an input under a finished run, under a named one, under a broken-off one, and while it is read."""
    name = CASES[verb].changed
    write(CASES[verb], folder)
    finish(words(verb), folder, **QUIET)
    before = {path.name for path in finished(folder)}
    finish([*words(verb), "--out", "runs/named"], folder, **QUIET)
    change(folder, name)
    code, talk = run(verb, folder)
    assert code == 0, talk
    assert {path.name for path in finished(folder)} - before - {"named"}, "the change wasn't noticed"
    code, talk = run(verb, folder, "--out", "runs/named")
    assert code == 1, talk
    assert "holds another run" in refusal(talk)


def changed_meanwhile(verb: str, folder: Path) -> bool:
    """Change an input while a verb is at work; return whether it met it.

    It is refused, or had been read whole before: then the run is that of the old input.
    """
    expected = calm(verb, folder)
    shutil.rmtree(folder / "runs")
    first = start(words(verb), folder, **QUIET)
    while not list(folder.glob("runs/*/.work-*")) and first.poll() is None:
        pass
    with suppress(ProcessLookupError):  # it had ended by itself
        os.killpg(first.pid, signal.SIGSTOP)
    has_met = not all_done(verb, folder)
    change(folder, CASES[verb].changed)
    with suppress(ProcessLookupError):
        os.killpg(first.pid, signal.SIGCONT)
    talk = first.communicate(timeout=300)[1]
    if has_met and first.returncode == 0:
        require_same(what_counts(folder), expected)
    elif has_met:
        assert first.returncode == 1, talk
        assert "changed while it was read" in refusal(talk)
        assert not all_done(verb, folder)
        finish(words(verb), folder, **QUIET)
    return has_met


WITH_INPUT = [verb for verb, case in CASES.items() if case.changed]


@pytest.mark.parametrize("verb", SHORT)
def test_a_changed_input(tmp_path, verb):
    changed(verb, tmp_path / "place")
    changed_meanwhile(verb, tmp_path / "meanwhile")


@pytest.mark.drill
@pytest.mark.parametrize("verb", WITH_INPUT)
def test_a_changed_input_of_every_verb(tmp_path, verb):
    changed(verb, tmp_path / "place")
    met = changed_meanwhile(verb, tmp_path / "meanwhile")
    what = "another run; a named folder refuses; a change meanwhile refuses"
    count(verb, "changed input", 2 + met, 3 + met, what)
