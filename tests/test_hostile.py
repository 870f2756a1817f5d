"""Text from outside through every verb: no stream and no file may hold what steers a terminal, a page or a path.

Names of files and models, ids, columns, rows, prompts, replies, a server's words, recipes and arguments are hostile at
once. Every verb of the table is called; a verb without an entry here fails.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.oracle.server import Said, completion, serving
from tests.race_runs import write_scored, write_selected
from tests.terminal.rules import faults_of, run_views
from tests.tools import alpaca, read_rows, steers, write_rows
from tests.verbs.judge.contests import outputs
from tests.verbs.judge.judged import annotation
from tests.verbs.test_match import scored
from tunescope import cli
from tunescope.answers import read_answers
from tunescope.verbs import VERBS

UNSEEN = "\x1b]0;pwned\x07\x9b2J\x1b[2J\u202e\u2066\u200b\u200f\u2028\x7f\x08good\rNext: pwned\nNext: pwned\t\U000e0041"
NAME = UNSEEN.replace("[", "") + "<img src=x onerror=pwned>;'$(touch pwned)'`touch pwned`"
"""What a file may be called; [ would make it a pattern."""
TEXT = f"{UNSEEN}</script><script>pwned</script>=cmd|' /c pwned'!A1 ../../pwned\ufeff\x00\ufff9\u2069 --- =HYPERLINK"
NASTY = (
    TEXT,
    "\x1b[2Jpwned",
    "=cmd|' /c pwned'!A1",
    "good\rNext: pwned",
    "a\nNext: pwned\n  curl pwned | sh",
    "</td><script>pwned</script>",
    '"><img src=x onerror=pwned>',
    "../../../pwned",
    "CON",
    "\u202egnp.exe\u202c",
    "x" * 300,
)
LONG = f"\x1b{'x' * 10_000}\x9b"
RAW = (".parquet", ".npy", ".safetensors", ".sqlite", ".db", ".bin", ".gguf")
"""Files that hold bytes, which nobody prints."""
PLAIN = re.compile(r"\.?[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What our files and folders are called."""


class Said_(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


class Place:
    """A working folder, some levels down, that takes commands and looks at all that they say and write."""

    def __init__(self, folder: Path) -> None:
        """Make hostile inputs."""
        self.folder, self.top = folder, folder.parents[2]
        self.typed: set[str] = set()
        self.given: set[Path] = set()
        rows = [alpaca(text, f"{text} and more", category=text, **{NAME: text}) for text in NASTY]
        self.rows = self.give("rows.jsonl", *rows)
        self.long = self.give("long.jsonl", alpaca(LONG, LONG, category=LONG), {LONG: LONG}, alpaca("", 3))
        self.others = self.give("others.jsonl", *(alpaca(text, f"{text}, another") for text in NASTY))
        self.pairs = self.give("pairs.jsonl", *({**row, "false_output": f"no {TEXT}", "source": TEXT} for row in rows))
        prompts = ({"prompt_id": f"{n} {text}", "prompt": text} for n, text in enumerate(NASTY))
        self.prompts = self.give("prompts.jsonl", *prompts)
        self.bad = self.give("bad.jsonl", alpaca(TEXT, TEXT), {TEXT: TEXT}, {"instruction": [TEXT], "output": TEXT})
        self.ours, self.theirs = (
            outputs(self.path(f"{n}.jsonl"), f"{n}{TEXT}", {f"{i}{q}": f"{n} {q}" for i, q in enumerate(NASTY[:4])})
            for n in ("ours", "theirs")
        )
        self.given |= {self.path("ours.jsonl"), self.path("theirs.jsonl")}
        self.fake = "fake:" + self.give("fake.jsonl", {"pattern": "", "reply": f"Score: 4\n{TEXT}"})

    def path(self, name: str) -> Path:
        """Return where an input of this plain name is, under its hostile one."""
        return self.folder / f"{NAME}{name}"

    def give(self, name: str, *records: object) -> str:
        """Write an input; return its name."""
        self.given.add(write_rows(self.path(name), list(records)))
        return self.path(name).name

    def model(self, name: str = "model", change: float = 0.0) -> str:
        """Return a model in a folder with a hostile name; its weights are those of all others, and a change."""
        from tunescope.microworld.model import save_random_model

        folder = save_random_model(self.path(name), 0)
        if change:
            import transformers

            model = transformers.AutoModelForCausalLM.from_pretrained(folder)
            for weights in model.parameters():
                weights.data += change
            model.save_pretrained(folder)
        self.given |= {folder, *folder.iterdir()}
        return folder.name

    def run(self, command: str, *arguments: str, code: int | None = 0) -> Said_:
        """Run a command in this process, with streams of its own, and look at what it says; None: it is refused."""
        streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            with pytest.raises(SystemExit) as end:
                cli.main([*command.split(), *(word.replace("\0", "") for word in arguments)])
        said = Said_(int(end.value.code or 0), *(stream.buffer.getvalue().decode() for stream in streams))
        assert said.code in ((1, 2) if code is None else (code,)), said
        for text in said[1:]:
            look_at(text, "a stream")
            assert "Traceback" not in text
            assert not any(line.startswith(("Next: pwned", "Next:\tpwned")) for line in text.split("\n")), text
        if "--json" in arguments and code == 0:
            json.loads(said.out)
        return said

    def both(self, command: str, *arguments: str) -> Path:
        """Run a command, and again with --json; return its run folder."""
        said = self.run(command, *arguments)
        self.type_next(said.out.partition("\nNext:\n")[2].splitlines())
        return self.folder / json.loads(self.run(command, *arguments, "--json").out)["run"]

    def type_next(self, commands: list[str]) -> None:
        """Have a shell read the commands that are to be typed next: each hostile word is the name of an input."""
        script = "\n".join(['tunescope() { printf "%s\\0" "$@"; }', *commands])
        done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, cwd=self.folder)
        assert done.stderr == b""
        for word in done.stdout.decode().split("\0"):
            assert "pwned" not in word or Path(word).exists() or word.endswith("_RUN"), word

    def look(self) -> None:
        """Look at all files that there are now, and at the runs' views in a narrow and a wide terminal."""
        for verb, view in run_views(self.folder):
            for width in (80, 120):
                assert faults_of(view, width) == [], verb
        for path in sorted(self.top.rglob("*")):
            inside = path.is_relative_to(self.folder)
            if path in self.given or (not inside and path in self.folder.parents) or path == self.folder:
                continue
            assert inside, f"{path} is outside"
            parts = path.relative_to(self.folder).parts
            assert all(PLAIN.fullmatch(part) for part in parts if part not in self.typed), path
            is_rows = path.suffix == ".csv" and "runs" in parts  # data, which nobody may change
            if path.is_file() and path.suffix not in RAW and not is_rows and path.name != "tokenizer.json":
                text = path.read_bytes().decode("utf-8-sig")
                page = path.suffix == ".html"
                look_at(text.translate({0x2028: "\n", 0x2029: "\n"}) if page else text, str(path))
                if page:
                    assert "<script>pwned" not in text
                    assert "<img src=x" not in text
                if path.suffix == ".jsonl":
                    assert all(isinstance(json.loads(line), dict) for line in text.splitlines())


def look_at(text: str, place: str) -> None:
    """Fail where a text holds what steers."""
    text = text.replace("\r\n", "\n")
    found = {f"{ord(ch):04X}: {text[max(0, at - 60) : at + 9]!r}" for at, ch in enumerate(text) if steers(ch)}
    assert not found, f"{place}: {sorted(found)[:3]}"


TYPED = [name for name, verb in VERBS.items() if verb.proven]
"""The verbs that can be typed; others work inside recipes only."""
ENTRIES: dict[str, Callable[[Place], None]] = {}


def entry(name: str) -> Callable[[Callable[[Place], None]], Callable[[Place], None]]:
    """Register what is typed for a verb."""

    def keep(function: Callable[[Place], None]) -> Callable[[Place], None]:
        ENTRIES[name] = function
        return function

    return keep


@entry("demo")
def _demo(place: Place) -> None:
    place.run("demo", "--out", place.rows, code=1)


@entry("models")
def _models(place: Place) -> None:
    os.environ["TUNESCOPE_CACHE"] = str(place.path("cache"))
    place.run("models")
    place.run("models", "--json")
    place.run("models", "--fetch", TEXT, code=2)


@entry("check")
def _check(place: Place) -> None:
    place.both("check", place.rows, place.others, "--against", place.prompts, "--out", "checked")
    place.run("check", place.rows, "--show", "exact_duplicate")
    place.run("check", place.rows, "--csv", "faulty.csv")
    place.run("check", place.bad, code=1)
    place.run("check", place.long, code=1)
    place.run("check", place.long, "--on-bad", "skip")
    place.run("check", place.bad, "--on-bad", "skip")
    place.run("check", "--masks", "--template", TEXT, code=1)
    place.run("check", place.rows, "--columns", f"instruction={TEXT}", code=1)
    place.run("check", place.rows, "--fail-on", "faulty_rows > 0", code=3)


@entry("measure")
def _measure(place: Place) -> None:
    place.both("measure", place.rows, "--without", "coherence", "--model", place.model())


@entry("compare")
def _compare(place: Place) -> None:
    place.both("compare", place.rows, place.others)
    place.both("compare", place.ours, place.theirs)


@entry("why")
def _why(place: Place) -> None:
    checked = place.both("check", place.rows)
    row = read_rows(next(checked.glob("*.jsonl")))[0]["row_id"] if list(checked.glob("*.jsonl")) else ""
    import pyarrow.parquet as pq

    row = row or pq.read_table(checked / "rows.parquet")["row_id"][0].as_py()
    place.run("why", row)
    place.run("why", row, "--json")
    place.run("why", TEXT, code=1)


@entry("select")
def _select(place: Place) -> None:
    checked = place.both("check", place.rows)
    selected = place.both("select", place.rows, "--from", str(checked), "--where", "faulty = false or line > 0")
    assert {row["category"] for row in read_rows(selected / "rows.jsonl")} == {*NASTY}
    path = place.path("cells.csv")
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["question", "answer", NAME], *([text, text, text] for text in NASTY)])
    place.given.add(path)
    selected = place.both("select", path.name, "--where", "line > 0")
    with path.open(newline="") as before, (selected / "rows.csv").open(newline="") as after:
        assert [*csv.reader(after)] == [*csv.reader(before)]
    place.run("select", place.rows, "--where", f"category = '{TEXT}", code=1)
    place.both("select", place.rows, "--tokens", "100", "--model", place.model())
    place.run("select", place.rows, "--tokens", "100", "--model", TEXT, code=1)
    place.run("select", place.rows, "--where", f'"{NAME}" = 3', code=1)


def repair(name: str, *options: str) -> None:
    """Register a verb of `repair`."""

    @entry(f"repair {name}")
    def keep(place: Place) -> None:
        run = place.both(f"repair {name}", place.rows, "--oracle", place.fake, *options)
        place.run(f"repair {name}", place.rows, "--oracle", place.fake, *options, "--plan", "--out", "planned")
        place.run(f"repair {name}", place.rows, "--oracle", place.fake, "--batch", "calls.jsonl", "--out", "b", code=1)
        place.run(f"repair {name}", str(run), "--oracle", f"fake:{TEXT}", code=1)
        with serving(lambda *_: Said({"error": {"message": TEXT, "code": TEXT}}, 401), models=(TEXT,)) as server:
            place.run(f"repair {name}", place.rows, "--oracle", server.url, "--out", "served", code=1)


for verb in ("rate", "simplify", "reflect", "evolve"):
    repair(verb)


@entry("falsify build")
def _build(place: Place) -> None:
    asked = ({"question": text, "choices": [text, f"not {text}"], "answer": 0, "explanation": text} for text in NASTY)
    own = place.give("own.jsonl", *({**question, "id": question["question"]} for question in asked))
    place.both("falsify build", own, "--chains", "none", "--match-length")
    fake = "fake:" + place.give("chains.jsonl", {"pattern": "", "reply": f"<explanation>\n{TEXT}\n</explanation>"})
    place.both("falsify build", own, "--oracle", fake, "--tries", "2")
    place.run("falsify build", own, "--oracle", fake, "--plan", "--out", "planned")
    for bad in (place.bad, place.long, TEXT, f"{TEXT}.jsonl"):
        place.run("falsify build", bad, "--chains", "none", code=None)
    place.run("falsify build", "qasc", "--data", TEXT, "--chains", "none", code=1)
    with serving(lambda *_: Said({"error": {"message": TEXT, "code": TEXT}}, 401), models=(TEXT,)) as server:
        place.run("falsify build", own, "--oracle", server.url, "--out", "served", code=1)


@entry("falsify dose")
def _falsify(place: Place) -> None:
    place.both("falsify dose", place.pairs, "--dose", "0.5")
    place.both("falsify dose", place.pairs, "--dose", "0,50%")
    place.run("falsify dose", place.pairs, "--dose", TEXT, code=2)
    place.run("falsify dose", place.rows, "--dose", "0.5", "--false-column", TEXT, code=1)


@entry("tune")
def _tune(place: Place) -> None:
    model = place.model()
    options = ["--model", model, "--max-steps", "1", "--batch-size", "2", "--max-length", "64"]
    place.both("tune", place.rows, *options)
    place.run("tune", place.rows, *options, "--method", "full", "--out", "full")
    printing = f"import sys; print({TEXT!r}, flush=True); print({TEXT!r}, file=sys.stderr); sys.exit(1)"
    command = shlex.join([sys.executable, "-c", printing, "{rows}", "{out}"])
    said = place.run("tune", place.rows, *options[:2], "--command", command, "--out", "by-another", code=1)
    assert "ended with status 1; its last lines:" in said.err


@entry("answer")
def _answer(place: Place) -> None:
    place.both("answer", place.prompts, "--model", place.model(), "--max-new-tokens", "2")
    with serving(lambda *_: Said(completion(TEXT)), models=(TEXT,)) as server:
        place.both("answer", place.prompts, "--model", server.url)
    with serving(lambda *_: Said({"error": {"message": TEXT}}, 404), models=(TEXT,)) as server:
        place.run("answer", place.prompts, "--model", server.url, "--out", "refused", code=1)


@entry("shift")
def _shift(place: Place) -> None:
    pair = ["--tuned", place.model("tuned", 0.05), "--base", place.model()]
    place.both("shift", *pair, "--prompts", place.prompts, "--max-new-tokens", "2")
    place.both("shift", *pair, "--answers", place.ours)


@entry("shift runs")
def _shift_runs(place: Place) -> None:
    pair = ["--tuned", place.model("tuned", 0.05), "--base", place.model()]
    shifts = [str(place.both("shift", *pair, "--answers", answers)) for answers in (place.ours, place.theirs)]
    place.both("shift runs", *shifts)
    place.run("shift runs", TEXT, code=1)


@entry("trace")
def _trace(place: Place) -> None:
    place.run("trace", place.rows, "--text", f"{TEXT} and more")
    place.run("trace", place.rows, "--text", f"{TEXT} and more", "--json")
    place.both("trace", "--answers", place.ours, "--rows", place.rows)


@entry("trace index")
def _trace_index(place: Place) -> None:
    index = place.both("trace index", place.rows, place.others)
    place.run("trace", str(index), "--text", TEXT)


@entry("attribute")
def _attribute(place: Place) -> None:
    place.run("attribute", place.rows, "--text", f"{TEXT} and more", "--prompt", TEXT, "--embedder", "none")
    place.both(
        "attribute", "--answers", place.ours, "--rows", place.rows, "--embedder", "none", "--base", place.model()
    )
    base, tuned = place.model(), place.model("tuned", 0.05)
    place.both("attribute", place.rows, "--value", place.others, "--tuned", tuned, "--base", base)
    place.run("attribute", place.rows, "--text", TEXT, "--embedder", TEXT, code=1)
    spans = place.give("spans.jsonl", {"answer_id": TEXT, "start": 0, "end": 1})
    place.run("attribute", place.rows, "--answers", place.ours, "--spans", spans, code=1)


@entry("attribute index")
def _attribute_index(place: Place) -> None:
    place.both("attribute index", place.rows, place.others, "--embedder", "none")


@entry("bench")
def _bench(place: Place) -> None:
    record = {"question": TEXT, "choices": [TEXT, "b"], "answer": "b", "category": TEXT}
    questions = place.give("questions.jsonl", record, {**record, "question": "c"})
    place.both("bench", questions, "--model", place.model(), "--spread")
    place.run("bench", "--suite", TEXT, code=2)
    place.run("study run", recipe(place, bench={"verb": "bench", "suite": ["microworld"], "model": place.model()}))
    place.run("bench", place.give("bad.jsonl", {**record, "answer": TEXT * 2}), "--model", place.model(), code=1)


def judge(name: str, *options: str) -> None:
    """Register a verb of `judge` that asks."""

    @entry(f"judge {name}")
    def keep(place: Place) -> None:
        sides = [place.ours, "--reference", place.theirs] if name == "winrate" else [place.ours, place.theirs]
        replies = [
            {"pattern": r".*(?P<m>[0-9a-f]{8}): CHOICE", "reply": r"\g<m>: 1", "expand": True},
            {"pattern": r".*(?P<m>[0-9a-f]{8}): SCORE-1", "reply": r"\g<m>: 7 5", "expand": True},
            {"pattern": "", "reply": TEXT},
        ]
        fake = "fake:" + place.give("judge.jsonl", *replies)
        run = place.both(f"judge {name}", *sides, "--oracle", fake, *options)
        place.both("judge recompute", str(run / "judgements.jsonl"))
        place.run(f"judge {name}", *sides, "--oracle", place.fake, "--out", "unread", *options)


judge("winrate")
judge("pairwise")
judge("aspects", "--aspects", "depth")


@entry("judge recompute")
def _recompute(place: Place) -> None:
    names = {"generator_1": f"b{TEXT}", "generator_2": f"t{TEXT}", "annotator": TEXT, "dataset": TEXT}
    records = [annotation(n, 1 + n % 2, **names, output_2=f"{n}{TEXT}", instruction=f"{n}{TEXT}") for n in range(6)]
    path = place.path("annotations.json")
    path.write_text(json.dumps(records))
    place.given.add(path)
    place.both("judge recompute", path.name)
    place.run("judge recompute", place.rows, code=1)


def studied(place: Place) -> list[str]:
    """Give a study of spans whose every text is hostile; return its marks, and the option that names its items."""
    items, marks = [], []
    for number, text in enumerate(NASTY):
        answers = [{"answer_id": f"{number}{text}", "system": text, "text": f"{text} and more"}]
        ids = {"item_id": f"{number} {text}", "kind": "spans", "prompt_id": text, "prompt": text}
        items.append({**ids, "answers": answers})
        for name in ("a", "b"):
            value = {"answer_id": f"{number}{text}", "start": 0, "end": len(text), "category": text}
            ids = {"mark_id": f"{name}{number}", "item_id": f"{number} {text}", "annotator": name + text}
            marks.append({**ids, "kind": "spans", "phase": "main", "value": value, "note": text, "at": text})
            marks[-1]["annotator"] = name + TEXT
    return [place.give("marks.jsonl", *marks), "--items", place.give("items.jsonl", *items)]


@entry("annotate agreement")
def _agreement(place: Place) -> None:
    study = studied(place)
    place.both("annotate agreement", *study)
    place.run("annotate agreement", study[0], "--items", place.rows, code=1)
    place.run("annotate agreement", place.bad, code=1)
    place.run("annotate agreement", *study, "--judge", TEXT, code=1)
    others = place.give("others.jsonl", *({"instance_id": text, "user_id": text, "labels": {}} for text in NASTY))
    place.run("annotate agreement", others, *study[1:], code=1)
    tasks = place.path("tasks.json")
    result = {"type": "labels", "value": {"start": 0, "end": 3, "text": TEXT, "labels": [TEXT]}}
    tasks.write_text(json.dumps([{"id": 1, "data": {"text": NASTY[1]}, "annotations": [{"result": [result]}]}]))
    place.given.add(tasks)
    place.run("annotate agreement", tasks.name, code=1)


@entry("annotate export")
def _export(place: Place) -> None:
    study = studied(place)
    for name in ("label-studio", "potato"):
        exported = place.both("annotate export", *study, "--format", name)
        place.run("annotate agreement", str(exported))
    place.run("annotate export", study[0], code=1)
    place.run("annotate export", *study, "--trace", TEXT, code=1)


@entry("judge leaderboard")
def _leaderboard(place: Place) -> None:
    ENTRIES["judge recompute"](place)
    runs = [str(path) for path in place.folder.glob("runs/judge-recompute-*")]
    place.both("judge leaderboard", *runs)
    place.run("judge leaderboard", *runs, "--by", TEXT, code=1)


@entry("judge claims")
def _claims(place: Place) -> None:
    claims = {"claim_id": f"0{TEXT}", "prompt": TEXT, "phrases": [TEXT], "truth": [TEXT], "neighbours": [TEXT]}
    place.give("claims.jsonl", claims)
    answers = place.give("said.jsonl", {"prompt_id": f"0{TEXT}", "prompt": TEXT, "text": f"{TEXT}.", "model": TEXT})
    named = place.path("claims.jsonl").name
    place.both("judge claims", answers, answers, "--claims", named)
    place.run("judge claims", answers, "--claims", named, "--system-names", TEXT, "--out", "named")
    place.run("judge claims", answers, "--claims", place.rows, "--out", "c", code=1)


@entry("repair correct")
def _correct(place: Place) -> None:
    named = str(place.both("check", place.rows))
    options = ("--from", named, "--where", "line > 0", "--truth", TEXT.replace("\0", ""))
    place.both("repair correct", place.rows, "--oracle", place.fake, *options)
    place.run("repair correct", place.rows, "--oracle", place.fake, *options, "--plan", "--out", "planned")
    place.run("repair correct", place.rows, "--oracle", f"fake:{TEXT}", *options, "--out", "c", code=1)


def recipe(place: Place, **steps: object) -> str:
    """Write a recipe with hostile words about it; return its name."""
    path = place.path("recipe.yaml")
    document = {"about": TEXT, "inputs": {"rows": place.rows}, "steps": steps}
    path.write_text(yaml.safe_dump(document, allow_unicode=False))
    place.given.add(path)
    return path.name


@entry("study plan")
def _plan(place: Place) -> None:
    made = recipe(place, **{TEXT: {"verb": "check", "rows": "{rows}", "vary": {"max_words": [5, 6]}}})
    place.run("study plan", made)
    place.run("study plan", made, "--json")
    place.run("study plan", recipe(place, **{TEXT: {"verb": TEXT}, "b": {"verb": "check", TEXT: TEXT}}), code=1)


@entry("study run")
def _study(place: Place) -> None:
    steps = {TEXT: {"verb": "check", "rows": "{rows}"}, "other": {"verb": "trace index", "rows": ["{rows}"]}}
    place.both("study run", recipe(place, **steps))
    nul = {"verb": "check", "rows": "a\0b", "columns": "a\0=b", "out": TEXT}
    place.run("study run", recipe(place, a=nul), code=1)
    place.run("study run", recipe(place, a={"verb": "check", "rows": "{rows}", "out": "a\0b"}), code=1)
    place.path("recipe.yaml").write_text(f"steps: [{TEXT}")
    place.run("study run", place.path("recipe.yaml").name, code=1)


@entry("study analyze")
def _analyze(place: Place) -> None:
    lines = ["task\t0%\t50%\t100%", *(f'"{shown}"\t1\t2\t{n}' for n, shown in enumerate(("=1+1", "a\x1b\u202epwned")))]
    path = place.path("scores.tsv")
    path.write_text("\n".join(lines))
    place.given.add(path)
    place.both("study analyze", path.name)
    place.run("study analyze", place.rows, code=1)


@entry("study match")
def _match(place: Place) -> None:
    ways = [(method, loss) for method in ("lora", "full") for loss in (0.2, 0.3)]
    runs = [scored(Path(), method, 0, loss, 0.5, NASTY) for method, loss in ways]
    place.both("study match", *runs)
    place.run("study match", *runs, scored(Path(), "full", 0, 0.4, 0.5, NASTY, epochs=9.0), code=1)
    place.run("study match", *runs, str(place.both("check", place.rows)), code=1)
    place.run("study match", TEXT.replace("\0", ""), code=1)


@entry("study race")
def _race(place: Place) -> None:
    runs = []
    for seed, (name, by) in product(range(2), {"drawn": None, "ranked": TEXT}.items()):
        options = {"by": by, "where": by, "tokens": {"model": TEXT}}
        chosen = write_selected(place.folder / f"{name}{seed}", TEXT, [TEXT, "b"], ["b"], **options)
        scores = {TEXT: 0.5 + seed / 10 + (by is None) / 100}
        runs.append(write_scored(place.folder / f"scored-{name}{seed}", f"{chosen}/rows.jsonl", seed, scores))
    place.typed |= {path.name for path in place.folder.iterdir()}
    names = [str(Path(run).relative_to(place.folder)) for run in runs]
    place.both("study race", *names)
    place.run("study race", names[0], code=1)
    place.run("study race", TEXT, code=1)


@entry("annotate create")
def _annotate_create(place: Place) -> None:
    guidelines = place.path("guidelines.md")
    guidelines.write_text(TEXT, "utf-8")
    place.given.add(guidelines)
    both = [place.ours, place.theirs]
    place.both("annotate create", "--kind", "pairs", *both, "--guidelines", guidelines.name)
    place.both("annotate create", "--kind", "spans", *both, "--categories", TEXT.replace("\0", ""))
    answers = list(read_answers(place.folder / place.ours))
    spans = place.give("spans.jsonl", *({"answer_id": each.answer_id, "start": 0, "end": 3} for each in answers))
    cause = [place.ours, "--kind", "cause", "--rows", place.rows]
    place.both("annotate create", *cause, "--spans", spans)
    for wrong in (TEXT, place.bad, place.prompts):
        place.run("annotate create", *cause, "--spans", wrong, "--out", "refused", code=1)
        place.run("annotate create", wrong, "--kind", "spans", "--out", "refused", code=1)
    place.run("annotate create", "--kind", "spans", place.ours, "--guidelines", TEXT, code=1)


@entry("annotate serve")
def _annotate_serve(place: Place) -> None:
    study = place.both("annotate create", place.ours, place.theirs, "--kind", "verdicts")
    for arguments in ([], ["--json"]):
        place.run("annotate serve", str(study), "--revoke", "A1", *arguments)
    place.run("annotate serve", str(study), "--link", TEXT, code=1)
    place.run("annotate serve", str(study), "--host", TEXT, code=1)
    place.run("annotate serve", TEXT, code=1)
    place.run("annotate serve", place.rows, code=1)


@entry("report")
def _report(place: Place) -> None:
    model = place.model()
    place.typed |= {NAME, "..", "x"}
    runs = [place.both("check", place.rows, "--out", NAME), place.both("trace index", place.rows)]
    runs.append(place.both("answer", place.prompts, "--model", model, "--max-new-tokens", "2"))
    runs.append(place.both("trace", "--answers", place.ours, "--rows", place.rows))
    runs.append(place.both("shift", "--tuned", place.model("tuned", 0.05), "--base", model, "--answers", place.ours))
    place.both("report", *map(str, runs), "--title", TEXT, "--notes", TEXT)


def test_every_verb_has_an_entry():
    assert set(ENTRIES) == set(TYPED)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    for name, value in {"TUNESCOPE_RUNS": "runs", "COLUMNS": "120", "OPENAI_API_KEY": "none"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TUNESCOPE_CACHE", str(folder / "cache"))
    return Place(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPED)
def test_a_verb_on_hostile_text(name, place):
    ENTRIES[name](place)
    place.look()


def test_a_hostile_environment(place, monkeypatch):
    place.typed.add(NAME)
    for name, value in {"TUNESCOPE_RUNS": NAME, "COLUMNS": TEXT, "TERM": TEXT, "RANK": "0"}.items():
        monkeypatch.setenv(name, value.replace("\0", ""))
    run = place.both("check", place.rows)
    place.both("report", str(run))
    place.look()


@pytest.mark.slow
@pytest.mark.parametrize("name", TYPED)
def test_hostile_arguments(name, place):
    for words in ([TEXT], [f"--{TEXT}"], [f"--out={TEXT}", TEXT], ["--fail-on", TEXT], ["--json", TEXT, TEXT, LONG]):
        place.run(name, *words, code=None)
    place.look()
