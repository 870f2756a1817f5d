"""A run whose items failed for a passing cause is open: its outputs are there, and the same command asks again.

What fails for the row's own sake is settled, remembered, and asked again only with --again.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("openai")

from tests.oracle.server import Said, completion, serving
from tests.tools import alpaca, read_rows, write_rows
from tests.verbs.judge.contests import outputs

import tunescope as in_python
from tunescope import cli
from tunescope.oracle.journal import Journal
from tunescope.runs import Run

HANGS = Said({"error": {"message": "overloaded"}}, 503)
TOO_LONG = Said({"error": {"message": "maximum context length"}}, 400)
WORDS = ("apple", "birch", "cedar", "daisy", "elder")
SHORT = "<short_response>Yes.</short_response>"


class Moody:
    """A server's behaviour: what it says about prompts with a word in them, and `otherwise` about the others."""

    def __init__(self, otherwise: str = SHORT, **sayings: Said) -> None:
        self.otherwise, self.sayings = otherwise, sayings
        self.asked: list[str] = []

    def __call__(self, body, call):
        prompt = body["messages"][-1]["content"]
        word = next(word for word in WORDS if word in prompt)
        self.asked.append(word)
        return self.sayings.get(word, Said(completion(self.otherwise)))

    def calls(self) -> list[str]:
        """Return the words that were asked about since the last time."""
        asked, self.asked = sorted(set(self.asked)), []
        return asked


@pytest.fixture
def rows(workplace):
    rows = [alpaca(f"Is {word} a plant?", f"Yes, {word} is a plant, as far as we know.") for word in WORDS]
    write_rows(workplace / "rows.jsonl", rows)
    return workplace


def simplify(url, **more):
    settings = {"served_model": "tiny", "deadline": 0.7, "response_format": "tags", "out": "out"}
    return in_python.repair_simplify("rows.jsonl", oracle=url, **(settings | more))


def test_a_row_that_failed_for_a_passing_cause_is_asked_again_by_the_same_command(rows, capsys):
    moody = Moody(birch=HANGS, daisy=HANGS)
    with serving(moody) as server:
        run = simplify(server.url)
        assert (run.open, run.settled, run.result["open"], run.result["failed"]) == (2, 0, 2, 2)
        assert json.loads((run.path / "run.json").read_text("utf-8"))["open"] == 2
        assert run.view.sentences[0] == (
            "This run is open: there is no reply yet for 2 of 5 rows (2 × not done within the row's 0.7 s; the last "
            "try: 503: overloaded). The same command asks again."
        )
        assert run.tables["repairs"]["action"].to_pylist() == ["changed", "kept", "changed", "kept", "changed"]
        assert read_rows(run.path / "rows.jsonl")[1]["output"].startswith("Yes, birch")
        assert moody.calls() == [*WORDS]
        moody.sayings = {"daisy": HANGS}
        assert (simplify(server.url).open, moody.calls()) == (1, ["birch", "daisy"])
        moody.sayings = {}
        assert "out holds this run, with items without a reply; only these are asked" in capsys.readouterr().err
        run = simplify(server.url)
        assert (run.open, run.result["open"], run.result["changed"], moody.calls()) == (0, 0, 5, ["daisy"])
        assert not list(run.path.glob(".work-*"))
        assert "This run is open" not in run.view.sentences[0]
        capsys.readouterr()
        assert (simplify(server.url).key, moody.calls()) == (run.key, [])
        assert "holds this run already; nothing was run again" in capsys.readouterr().err


def test_what_fails_for_the_rows_own_sake_is_settled_and_asked_again_only_when_told_to(rows):
    moody = Moody(cedar=TOO_LONG)
    with serving(moody) as server:
        run = simplify(server.url)
        assert (run.open, run.settled, run.result["settled"]) == (0, 1, 1)
        (reason,) = run.result["settled_by"]
        assert reason.startswith("400: maximum context length (about ")
        assert run.view.sentences[-1] == (
            f"No reply can be had for 1 of 5 rows (1 × {reason}). The same command asks again only with --again."
        )
        moody.calls()
        moody.sayings = {}
        assert (simplify(server.url).settled, moody.calls()) == (1, [])
        again = simplify(server.url, again=True)
        assert (again.open, again.settled, again.result["changed"], moody.calls()) == (0, 0, 5, ["cedar"])
        assert (simplify(server.url, again=True).key, moody.calls()) == (run.key, [])


def test_what_is_settled_is_not_asked_with_what_is_open(rows):
    moody = Moody(cedar=TOO_LONG, daisy=HANGS)
    with serving(moody) as server:
        run = simplify(server.url)
        assert (run.open, run.settled) == (1, 1)
        moody.calls()
        moody.sayings = {}
        before = run.result["settled_by"]
        run = simplify(server.url)
        assert (run.open, run.settled, run.result["settled_by"], moody.calls()) == (0, 1, before, ["daisy"])


def test_a_fault_of_all_calls_is_remembered_for_no_row(rows):
    """Twenty calls that are rejected alike, with none answered, may be the server's fault."""
    write_rows(rows / "rows.jsonl", [alpaca(f"Is {WORDS[0]} number {i}?", "Yes.") for i in range(20)])
    moody = Moody(apple=Said({"error": {"message": "unknown field"}}, 400))
    with serving(moody) as server:
        with pytest.raises(in_python.errors.TunescopeError, match="the first 20 calls all fail for one reason"):
            simplify(server.url, deadline=60.0)
        with Journal(rows / "out" / "journal.sqlite") as journal:
            assert len(journal) == 0


def test_the_command_line_says_so_with_its_exit_code(rows, capsys):
    moody = Moody(birch=HANGS)
    with serving(moody) as server:
        command = ["repair", "simplify", "rows.jsonl", "--oracle", server.url, "--served-model", "tiny"]
        command += ["--deadline", "0.7", "--response-format", "tags", "--out", "out", "--json"]
        assert cli.run([*command, "--fail-on", "changed > 0"]) == 4
        assert json.loads(capsys.readouterr().out)["open"] == 1
        moody.sayings = {}
        assert cli.run(command) == 0
        assert json.loads(capsys.readouterr().out)["open"] == 0


def test_a_later_stage_without_a_reply_leaves_its_row_open(rows):
    """`reflect`: birch's instruction is rewritten, its response isn't; only that stage is asked again."""
    asked = []

    def behave(body, call):
        prompt = body["messages"][-1]["content"]
        word = next(word for word in WORDS if word in prompt)
        asked.append((word, "tree" in prompt))
        if hangs and asked[-1] == ("birch", True):
            return HANGS
        new = (
            f"<new_instruction>\nIs {word} a tree?\n</new_instruction>\n<new_response>\nIt is {word}.\n</new_response>"
        )
        return Said(completion(new))

    hangs = True
    settings = {"served_model": "tiny", "deadline": 0.7, "response_format": "tags", "out": "out"}
    with serving(behave) as server:
        run = in_python.repair_reflect("rows.jsonl", oracle=server.url, **settings)
        assert (run.open, run.result["failed"], run.result["changed"]) == (1, 0, 5)
        assert "partial" in run.tables["repairs"]["reason"].to_pylist()[1]
        hangs = False
        asked.clear()
        run = in_python.repair_reflect("rows.jsonl", oracle=server.url, **settings)
        assert (run.open, asked) == (0, [("birch", True)])
        assert "partial" not in run.tables["repairs"]["reason"].to_pylist()[1]


def test_a_verdict_without_a_reply_is_asked_again(workplace):
    for name in ("ours", "theirs"):
        outputs(workplace / f"{name}.jsonl", name, {f"Is {word} a plant?": f"{name} says {word}" for word in WORDS})
    moody = Moody('{"score_1": 8, "score_2": 7}', birch=HANGS, cedar=TOO_LONG)
    settings = {"served_model": "tiny", "deadline": 0.7, "response_format": "json", "draws": 200, "out": "out"}

    def pairwise(**more):
        return in_python.judge_pairwise(("ours.jsonl", "theirs.jsonl"), oracle=server.url, **settings, **more)

    with serving(moody) as server:
        run = pairwise()
        assert (run.open, run.settled, run.result["n"], run.result["n_missing"]) == (2, 2, 3, 2)
        assert "no reply yet for 2 of 10 verdicts (2 × not done within" in run.view.sentences[0]
        moody.calls()
        moody.sayings = {}
        run = pairwise()
        assert (run.open, run.settled, run.result["n"], moody.calls()) == (0, 2, 4, ["birch"])
        assert (pairwise(again=True).result["n"], moody.calls()) == (5, ["cedar"])


QUESTIONS = [{"question_id": word, "category": "x", "turns": [f"Is {word} a plant?", "Why?"]} for word in WORDS]


class MoodyAnswers(Moody):
    """A server's behaviour by words of a whole conversation."""

    def __call__(self, body, call):
        return super().__call__({"messages": [{"content": str(body["messages"])}]}, call)


def answered(url, **more):
    return in_python.answer("q.jsonl", model=url, served_model="tiny", deadline=0.7, out="out", **more)


def test_an_answer_that_a_server_didnt_give_is_asked_for_again(workplace):
    write_rows(workplace / "q.jsonl", QUESTIONS)
    filtered = Said(completion(None, "content_filter"))
    moody = MoodyAnswers("Yes.", birch=HANGS, cedar=TOO_LONG, daisy=filtered)
    with serving(moody) as server:
        run = answered(server.url)
        missing = {(m["prompt_id"], m["turn"]): (m["reason"], m["open"]) for m in run.records("missing")}
        assert missing == {
            ("birch", 0): ("not done within the row's 0.7 s; the last try: 503: overloaded", True),
            ("birch", 1): ("turn 0 before it has no answer", True),
            ("cedar", 0): ("400: maximum context length", False),
            ("cedar", 1): ("turn 0 before it has no answer", False),
            ("daisy", 0): ("the server's content filter", False),
            ("daisy", 1): ("turn 0 before it has no answer", False),
        }
        assert (run.open, run.settled, run.result["n"], run.result["open"]) == (2, 4, 4, 2)
        moody.calls()
        moody.sayings = {}
        run = answered(server.url)
        assert (run.open, run.settled, run.result["n"], moody.calls()) == (0, 4, 6, ["birch"])
        assert (answered(server.url).result["n"], moody.calls()) == (6, [])
        run = answered(server.url, again=True)
        assert (run.settled, run.result["n"], moody.calls()) == (0, 10, ["cedar", "daisy"])
        assert not (run.path / "missing.jsonl").exists()
        assert not list(run.path.glob(".work-*"))


def test_an_answer_that_was_settled_and_then_given_stays(workplace):
    """Told to, a server gives it while another is open; the run is then finished without being told to."""
    write_rows(workplace / "q.jsonl", QUESTIONS)
    moody = MoodyAnswers("Yes.", birch=HANGS, cedar=TOO_LONG)
    with serving(moody) as server:
        run = answered(server.url)
        assert (run.open, run.settled) == (2, 2)
        del moody.sayings["cedar"]
        run = answered(server.url, again=True)
        assert (run.open, run.settled, run.result["n"]) == (2, 0, 8)
        moody.calls()
        del moody.sayings["birch"]
        run = answered(server.url)
    assert (run.open, run.settled, run.result["n"], moody.calls()) == (0, 0, 10, ["birch"])


def test_what_uses_an_open_run_says_so_and_counts_anew_when_it_is_finished(rows, capsys):
    moody = Moody(birch=HANGS)
    with serving(moody) as server:
        repaired = simplify(server.url)
        said = "out is open (1 item without a reply yet), and is used here as it is; "
        said += "type its command again, then this one."
        users = {
            "compare": lambda: in_python.compare("rows.jsonl", repaired),
            "check": lambda: in_python.check(repaired),
            "report": lambda: in_python.report([repaired]),
        }
        before = {name: use() for name, use in users.items()}
        assert {name: run.view.sentences.count(said) for name, run in before.items()} == dict.fromkeys(users, 1)
        assert capsys.readouterr().err.count(said) == len(users)
        moody.sayings = {}
        repaired = simplify(server.url)
        after = {name: use() for name, use in users.items()}
    assert all(after[name].key != before[name].key for name in users)
    assert not any(said in run.view.sentences for run in after.values())


def test_a_reopened_run_that_is_refused_keeps_what_it_had(rows):
    """The server has gone when the command is typed again: the open run is as it was."""
    with serving(Moody(birch=HANGS)) as server:
        run = simplify(server.url)
    before = {
        path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file() and path.suffix != ".sqlite"
    }
    with pytest.raises(in_python.errors.TunescopeError, match="no server answers"):
        simplify(server.url)
    after = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file() and path.suffix != ".sqlite"}
    assert (after, Run(run.path).open) == (before, 1)


RECIPE = """
inputs: {rows: rows.jsonl}
steps:
  short:
    {verb: repair simplify, rows: "{rows}", oracle: "URL", served_model: tiny, deadline: 0.7, response_format: tags}
  check: {verb: check, rows: "{short}"}
"""


def test_a_recipe_runs_what_needs_no_open_cell_and_goes_on_with_the_same_command(rows, capsys):
    moody = Moody(birch=HANGS)
    with serving(moody) as server:
        (rows / "recipe.yaml").write_text(RECIPE.replace("URL", server.url))
        assert cli.run(["study", "run", "recipe.yaml", "--json"]) == 4
        result = json.loads(capsys.readouterr().out)
        assert ([step["name"] for step in result["steps"]], result["open"]) == (["short"], 2)
        study = Run(Path(result["run"]))
        assert study.view.sentences[0].startswith("1 of 2 cells is not done, and 1 other didn't run because of that.")
        assert study.view.sentences[1].startswith("short is open. This run is open: there is no reply yet")
        assert result["not_run"] == [{"name": "check", "needs": ["short"]}]
        moody.calls()
        moody.sayings = {}
        assert cli.run(["study", "run", "recipe.yaml", "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert ([step["name"] for step in result["steps"]], result["open"]) == (["short", "check"], 0)
        assert moody.calls() == ["birch"]


def test_the_history_of_a_row_says_which_of_its_runs_are_open(rows):
    with serving(Moody(birch=HANGS)) as server:
        simplify(server.url, out="runs/short")
    ids = Run(Path("runs/short")).tables["repairs"]["row_id"].to_pylist()
    said = "runs/short is open (1 item without a reply yet); type its command again."
    assert in_python.why(row_id=ids[0]).view.sentences[-1] == said
