"""What each misbehaviour of a server's must give, for every verb that asks."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from random import Random
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("openai")

from tests.oracle.cells import (
    KEY,
    VERBS,
    Cell,
    Item,
    N,
    run_at,
    run_cell,
    secrets_in,
    type_in,
    write_inputs,
)
from tests.oracle.server import Said, completion, serving
from tests.tools import ROOT
from tunescope.oracle.hostile.beside import USAGE
from tunescope.oracle.hostile.honest import honest_text
from tunescope.oracle.hostile.misbehaviour import GIVES, PIECE, THOUGHT, Misbehaviour
from tunescope.oracle.hostile.statuses import PAGES
from tunescope.oracle.hostile.table import MISBEHAVIOURS, Misbehaving

BY_NAME = {each.name: each for each in MISBEHAVIOURS}
FORMATS = ("tags", "json")
MEANT = 1
"""The place of the item that a misbehaviour of `when` "one" is about."""
CLASSES = {
    "same": "kept",
    "again": "kept",
    "open": "failed",
    "row": "failed",
    "cut": "cut",
    "refused": "refused",
    "unread": "unread",
}
"""What becomes of an item, by what its misbehaviour gives."""
STOPS = {
    "key": "OPENAI_API_KEY",
    "account": "account|credit",
    "model": "model tiny|--served-model",
    "server": "type the same command|goes on",
    "page": "page|API",
    "after some": "type the same command|goes on",
}
"""What the sentence of a run that stops says."""
NUMBERS = {"off-the-scale", "400-digits", "number-as-text"}
"""Misbehaviours of numbers, which only some verbs ask for."""
EITHER = {"kept", "unread"}
BROKEN_OFF = {"ends-error", "ends-abort", "ends-insufficient_system_resource"}


def expected(misbehaviour: Misbehaviour, verb: str, response_format: str) -> set[str]:
    """Return what may become of the items that a misbehaviour is about."""
    name, usual = misbehaviour.name, {CLASSES[misbehaviour.gives]}
    if name in NUMBERS and (verb not in ("rate", "pairwise") or name == "number-as-text"):
        return {"kept"}
    if name == "half-a-pair" and verb == "aspects" and response_format == "tags":
        return EITHER  # it stands behind the object
    if name == "half-a-pair" or name == "no-content":
        return {*usual, "failed"}
    if verb == "answer" and misbehaviour.gives == "cut":
        return {"cut", "failed"}  # an answer that was cut at its length is one, and is marked
    if verb == "answer" and misbehaviour.gives == "unread":
        return {"kept", "failed"}  # nothing tells what an answer should look like
    if name in ("twice", "prompt-echoed") and verb in ("rate", "pairwise", "winrate", "aspects"):
        return EITHER  # the reply ends as it should
    if name == "nul" and response_format == "json":
        return EITHER
    return usual


def cells() -> list[pytest.param]:
    """Return every cell; all but two of each misbehaviour's are left to `make drill`, and many more to `make test`."""
    found = []
    for number, misbehaviour in enumerate(MISBEHAVIOURS):
        rng = Random(misbehaviour.name)
        usual = [(verb, rng.choice(FORMATS)) for verb in rng.sample(sorted(VERBS), 2)]
        usual = [(verb, "tags" if verb == "answer" else response_format) for verb, response_format in usual]
        for verb in VERBS:
            for response_format in FORMATS[: 1 if verb == "answer" else 2]:
                cell = (verb, response_format)
                is_quick = cell == usual[0] and number % 3 == 0
                marks = () if is_quick else (pytest.mark.slow if cell in usual else pytest.mark.drill,)
                name = f"{misbehaviour.name}-{verb}" + f"-{response_format}" * (verb != "answer")
                found.append(pytest.param(misbehaviour.name, verb, response_format, marks=marks, id=name))
    return found


@pytest.fixture
def folder(workplace, monkeypatch):
    """Inputs, and a planted key."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    write_inputs(workplace)
    return workplace


HONEST: dict[tuple[str, str], Cell] = {}


def honest(body, call):
    """Answer as asked."""
    return Said(completion(honest_text(body)))


def honest_cell(verb: str, response_format: str, streams) -> Cell:
    """Return what an honest server gives."""
    if (verb, response_format) not in HONEST:
        cell = run_cell(verb, honest, streams, response_format, out="honest")
        assert (cell.code, [item.status for item in cell.items]) == (0, ["kept"] * N)
        HONEST[verb, response_format] = cell
    return HONEST[verb, response_format]


@pytest.mark.parametrize(("name", "verb", "response_format"), cells())
def test_a_misbehaviour(name, verb, response_format, folder, capsys):
    """Every row is accounted for, each as it must be; nobody says or keeps the key; what is open is asked again."""
    misbehaviour, usual = BY_NAME[name], honest_cell(verb, response_format, capsys)
    with serving(Misbehaving(misbehaviour, KEY), pages=PAGES) as server:
        cell = run_at(server, verb, capsys, response_format, seconds=0.3 if name == "silent" else 2.0)
        assert secrets_in(folder, cell.out, cell.err) == []
        assert re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", cell.out + cell.err) is None
        assert "Traceback" not in cell.err
        if misbehaviour.gives in STOPS:
            stops(misbehaviour, cell)
        else:
            goes_on(misbehaviour, verb, response_format, cell, usual.items)
        if misbehaviour.gives in STOPS or misbehaviour.gives == "open":
            server.behave = honest
            again = run_at(server, verb, capsys, response_format)
            assert (again.code, again.items) == (0, usual.items), again.err
            if misbehaviour.gives == "after some":
                assert again.calls == usual.calls - 2


def stops(misbehaviour: Misbehaviour, cell: Cell) -> None:
    """Look at a run that stopped: no result, one sentence, no more calls than those in flight."""
    assert (cell.code, cell.info, cell.out) == (1, {}, ""), cell.err
    sentence = cell.err.strip().splitlines()[-1]
    assert re.search(STOPS[misbehaviour.gives], sentence), sentence
    if misbehaviour.gives != "server":
        assert cell.calls <= 2 * N + 2
    elif misbehaviour.name != "busy-for-hours":
        assert "waiting: " in cell.err


def goes_on(misbehaviour: Misbehaviour, verb: str, response_format: str, cell: Cell, honest: list[Item]) -> None:
    """Look at a run that is finished."""
    without_reply = ("failed", "refused") if verb == "answer" else ("failed",)
    n_failed = sum(item.status in without_reply for item in cell.items)
    assert cell.code == (4 if misbehaviour.gives == "open" else 0), cell.err
    assert (cell.info.get("open", 0) > 0) == (misbehaviour.gives == "open")
    n_failed += verb == "answer" and sum(item.status == "refused" for item in cell.items)
    assert (cell.info.get("settled", 0) > 0) == (n_failed > 0 and misbehaviour.gives != "open")
    assert len(cell.items) == N
    may_be = expected(misbehaviour, verb, response_format)
    for place, (item, usual) in enumerate(zip(cell.items, honest, strict=True)):
        if misbehaviour.when == "one" and place != MEANT:
            assert item == usual
            continue
        assert item.status in may_be, item
        if misbehaviour.gives in ("same", "again") and item.status == "kept":
            assert item.texts.strip(" \n\x00") == usual.texts
        assert THOUGHT not in item.texts
        is_answer_so_far = verb == "answer" and (item.status == "cut" or misbehaviour.name == "ends-stop")
        assert PIECE not in item.texts or (is_answer_so_far and misbehaviour.name not in BROKEN_OFF)


BOUGHT = [
    *(each.name for each in USAGE),
    "content-parts",
    "think-pair",
    "half-a-body",
    "choices-null",
    "bytes",
    "empty",
]
"""Misbehaviours of servers that are paid, and don't say so as they should."""
BUDGET = 3000


def budget_cells() -> list[pytest.param]:
    """Return a cell for each of `BOUGHT`; the others are left to `make drill`."""
    asks = [verb for verb in VERBS if verb != "answer"]
    usual = {name: Random(name).choice(asks) for name in BOUGHT}
    return [
        pytest.param(name, verb, marks=() if usual[name] == verb else (pytest.mark.drill,), id=f"{name}-{verb}")
        for name in BOUGHT
        for verb in asks
    ]


@pytest.mark.parametrize(("name", "verb"), budget_cells())
def test_a_budget_holds(name, verb, folder, capsys):
    """However a server counts: all that it is sent, at four bytes a token, is less than what may be used."""
    with serving(Misbehaving(BY_NAME[name], KEY)) as server:
        more = ("--max-tokens-total", str(BUDGET), "--max-new-tokens", "64")
        cell = run_at(server, verb, capsys, "tags", more=more)
        sent = sum(len(body["messages"][-1]["content"].encode()) for body in server.bodies)
    assert cell.code == 0 or "the budget has no room for another call" in cell.err, cell.err
    assert 0 < sent / 4 <= BUDGET


def test_every_misbehaviour_has_a_source_and_a_consequence():
    assert len(MISBEHAVIOURS) >= 60
    assert len(BY_NAME) == len(MISBEHAVIOURS)
    for each in MISBEHAVIOURS:
        assert each.gives in GIVES
        report = re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", each.source)
        page = re.match(r"RFC \d+, section \d|.+ (?:documentation|reference)\b", each.source)
        assert report or page, each.source


@pytest.mark.parametrize("verb", VERBS)
def test_a_password_in_an_address_is_nowhere(verb, folder, capsys):
    option = "--model" if verb == "answer" else "--oracle"
    for more in ([], ["--plan"]) if verb != "answer" else ([],):
        address = "http://user:Pa55word-in-a-URL@127.0.0.1:9/v1?api_key=Pa55word-in-a-URL"
        code, out, err = type_in([*VERBS[verb].split(), option, address, "--out", "run", *more], capsys)
        assert code in (1, 2) or more == ["--plan"]
        assert "Pa55word" not in out + err
        assert not [p for p in folder.rglob("*") if p.is_file() and b"Pa55word" in p.read_bytes()]


def test_the_page_has_the_table():
    """If not: python tools/misbehaviours.py --write."""
    done = subprocess.run([sys.executable, ROOT / "tools" / "misbehaviours.py"], check=False)
    assert done.returncode == 0


def test_the_server_by_hand():
    def typed(*arguments):
        command = [sys.executable, "-m", "tunescope.oracle.hostile", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    listed, unknown, served = typed(), typed("no-such-thing"), typed("payment-required")
    names = [line.partition(":")[0] for line in listed.communicate()[0].splitlines()]
    assert names == list(BY_NAME)
    assert unknown.communicate()[1].startswith("found no-such-thing; expected NAME")
    address = re.search(r"http://\S+", served.stderr.readline())[0]
    call = Request(f"{address}/chat/completions", b'{"messages": [{"content": "Hello"}]}')
    with pytest.raises(HTTPError) as refused:
        urlopen(call)
    assert refused.value.code == 402
    served.send_signal(signal.SIGINT)
    assert served.wait(10) == unknown.returncode - 2 == 0
