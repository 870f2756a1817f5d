"""What every verb that writes a run is given in drills: inputs, a command, and the input that one of them changes."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.annotations.studies import item, mark, write_items, write_marks
from tests.drills.kills import finish
from tests.tools import alpaca, write_rows
from tests.verbs.judge.judged import annotation

WORDS = ["baker", "cat", "red", "soup", "the", "a", "of", "which", "colour", "pet."]
QUIET = {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
N = 160
"""Rows: some shards of each verb that has shards."""


class Case(NamedTuple):
    """What a verb is given.

    Attributes:
        command: what is typed.
        write: writes the inputs into a folder.
        changed: the input to which a drill adds a line.
    """

    command: str
    write: Callable[[Path], None]
    changed: str = "rows.jsonl"


def _texts(n: int, seed: int = 0, longest: int = 12) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(n)]


def rows(folder: Path) -> None:
    """Write rows with a false response, a number and a source each, the same changed, and replies of an oracle."""
    questions, answers = _texts(N), _texts(N, seed=1, longest=30)
    records = [
        alpaca(f"{q} {i}?", a, length=len(a), wrong=f"Not {a}", source="xyz"[i % 3])
        for i, (q, a) in enumerate(zip(questions, answers, strict=True))
    ]
    write_rows(folder / "rows.jsonl", records)
    write_rows(folder / "b.jsonl", [{**r, "output": r["output"] + " More."} if r["length"] % 3 else r for r in records])
    replies = (
        ("Score: NUMBER", "Score: 4\nGood."),
        ("<new_response>", "<new_instruction>\nWhat?\n</new_instruction>\n<new_response>\nThat.\n</new_response>"),
        ("<new_instruction>", "<new_instruction>\nWhat is it, and why?\n</new_instruction>"),
        ("<verdict>", "<verdict>\nnot equal\n</verdict>"),
        ("<corrected_response>", "<corrected_response>\nFour.\n</corrected_response>"),
        ("<explanation>", "<explanation>\nOne sees that it is so.\n</explanation>"),
        ("<short_response>", "<short_response>Short.</short_response>"),
        ("", "Because of that."),
    )
    write_rows(folder / "fake.jsonl", [{"pattern": f".*{p}" if p else "", "reply": reply} for p, reply in replies])


def small(folder: Path) -> None:
    """Write few rows, and a tiny model with random weights."""
    from tunescope.microworld.model import save_random_model

    rows(folder)
    lines = (folder / "rows.jsonl").read_text("utf-8").splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join(lines[:40]), "utf-8")
    save_random_model(folder / "tiny", seed=0)


def modelled(folder: Path) -> None:
    """Write rows, answers, prompts and two tiny models of one tokenizer."""
    from tunescope.microworld.model import save_random_model

    rows(folder)
    asked, said = _texts(48, seed=2), _texts(48, seed=3, longest=20)
    texts = [{"prompt_id": str(i), "prompt": q, "text": a} for i, (q, a) in enumerate(zip(asked, said, strict=True))]
    write_rows(folder / "answers.jsonl", texts)
    write_rows(folder / "q.jsonl", [{"question_id": i, "turns": [q, "And?"][: 1 + i % 2]} for i, q in enumerate(asked)])
    save_random_model(folder / "tiny", seed=0)
    save_random_model(folder / "tuned", seed=1)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / "tiny" / name, folder / "tuned" / name)


def traced(folder: Path) -> None:
    """Write rows, answers that borrow from them, and a reference."""
    from tests.verbs.trace.planted import Writer, prose_rows, put

    records, writer, rng = prose_rows(400, words=60), Writer(7), random.Random(0)
    write_rows(folder / "rows.jsonl", records)
    borrowed = [" ".join(rng.choice(records)["output"].split()[5:30]) for _ in range(40)]
    put(folder / "a.jsonl", *[f"{writer.prose(30)} {text} {writer.prose(20)}" for text in borrowed])
    put(folder / "r.jsonl", *[writer.prose(40) for _ in range(250)])


def judged(folder: Path) -> None:
    """Write answers of two systems, and a judge that gives every score that is asked for."""
    for name in ("one", "two"):
        records = [
            {"instruction": f"Question {i}?", "output": f"{name} says {i}.", "generator": name} for i in range(60)
        ]
        write_rows(folder / f"{name}.jsonl", records)
    replies = [
        {"pattern": r".*(?P<m>[0-9a-f]{8}): CHOICE", "reply": r"\g<m>: 1", "expand": True},
        {"pattern": r".*(?P<m>[0-9a-f]{8}): SCORE-1", "reply": r"\g<m>: 7 5", "expand": True},
        {"pattern": r".*(?P<m>[0-9a-f]{8}): DEPTH", "reply": r"\g<m>: 4", "expand": True},
        {"pattern": "", "reply": "Depth: 4"},
    ]
    write_rows(folder / "fake.jsonl", replies)


def annotations(folder: Path) -> None:
    """Write AlpacaEval's annotations."""
    draws = random.Random(0)
    records = [annotation(n, draws.choice([1, 2, 2, 1.5, None])) for n in range(120)]
    write_rows(folder / "annotations.jsonl", records)


def questions(folder: Path) -> None:
    """Write questions with choices in three files, and a tiny model."""
    from tunescope.microworld.model import save_random_model
    from tunescope.microworld.world import make_world, open_questions

    asked = [
        {"question": each.prompt, "choices": list(each.choices), "answer": each.gold}
        for each in open_questions(make_world(0))
    ]
    for number, name in enumerate(("first", "second", "third")):
        write_rows(folder / f"{name}.jsonl", asked[number:90:3])
    save_random_model(folder / "tiny", seed=0)


def known(folder: Path) -> None:
    """Write questions with a right answer and a wrong one."""
    rows(folder)
    asked = [{"question": f"Question {i}?", "choices": ["a right thing", "a left one"], "answer": 0} for i in range(60)]
    write_rows(folder / "own.jsonl", asked)


def checked(folder: Path) -> None:
    """Write rows, and finished runs over them."""
    rows(folder)
    finish(["check", "rows.jsonl", "--out", "checked"], folder, **QUIET)
    finish(["select", "rows.jsonl", "--where", "length > 20", "--out", "selected"], folder, **QUIET)
    finish(["compare", "rows.jsonl", "b.jsonl", "--out", "compared"], folder, **QUIET)


def named(folder: Path) -> None:
    """Write rows, and a run that names some."""
    rows(folder)
    finish(["select", "rows.jsonl", "--where", "length > 90", "--out", "named"], folder, **QUIET)


def ranked(folder: Path) -> None:
    """Write two finished runs of judgements."""
    annotations(folder)
    lines = (folder / "annotations.jsonl").read_text("utf-8").splitlines(keepends=True)
    for name, part in (("x", lines[::2]), ("y", lines[1::2])):
        (folder / f"{name}.jsonl").write_text("".join(part).replace("tuned", name), "utf-8")
        finish(["judge", "recompute", f"{name}.jsonl", "--out", f"judged-{name}"], folder, **QUIET)


def scores(folder: Path) -> None:
    """Write a table of scores."""
    draws = random.Random(0)
    lines = [
        f"{task},{seed}," + ",".join(f"{draws.random():.4f}" for _ in range(6)) for task in range(8) for seed in "01"
    ]
    (folder / "scores.csv").write_text("\n".join(["task,seed,0,0.2,0.4,0.6,0.8,1", *lines]) + "\n")


def claims(folder: Path) -> None:
    """Write claims and answers."""
    judged(folder)
    asked = [{"claim_id": f"c{i}", "prompt": f"Question {i}?", "phrases": [f"says {i}"]} for i in range(60)]
    write_rows(folder / "claims.jsonl", asked)


def marked(folder: Path) -> None:
    """Write a study's items and marks."""
    texts, rng = [" ".join(_texts(3, seed=n, longest=40)) for n in range(60)], random.Random(0)
    marks = []
    for number, text in enumerate(texts):
        for person in ("ann", "bob"):
            start = rng.randrange(max(1, len(text) - 10))
            value = {"answer_id": f"a{number}-tuned", "start": start, "end": start + 5, "category": rng.choice("XY")}
            marks.append(mark(f"item{number}", person, "spans", value))
    write_marks(folder / "marks.jsonl", marks)
    write_items(folder / "items.jsonl", [item(number, "spans", [text]) for number, text in enumerate(texts)])


def recipe(folder: Path) -> None:
    """Write a study of three steps."""
    rows(folder)
    (folder / "recipe.yaml").write_text(
        "about: Some steps.\ninputs: {rows: rows.jsonl}\nsteps:\n"
        '  check: {verb: check, rows: "{rows}"}\n'
        '  clean: {verb: select, rows: "{rows}", from: "{check}", where: faulty = false}\n'
        '  change: {verb: compare, a: "{rows}", b: "{clean}/rows.jsonl"}\n'
    )


_TUNE = "--model tiny --max-steps 6 --batch-size 4 --max-length 64 --checkpoint-minutes 0"
_ORACLE = "--oracle fake:fake.jsonl --response-format tags"
CASES = {
    "check": Case("check rows.jsonl", rows),
    "measure": Case("measure rows.jsonl --model tiny --without coherence", modelled),
    "select": Case("select rows.jsonl --where 'length > 20'", rows),
    "compare": Case("compare rows.jsonl b.jsonl", rows),
    "falsify dose": Case("falsify dose rows.jsonl --dose 0.25 --false-column wrong", rows),
    "falsify build": Case(f"falsify build own.jsonl {_ORACLE}", known, "own.jsonl"),
    "repair rate": Case(f"repair rate rows.jsonl {_ORACLE}", rows),
    "repair simplify": Case(f"repair simplify rows.jsonl {_ORACLE}", rows),
    "repair reflect": Case(f"repair reflect rows.jsonl {_ORACLE}", rows),
    "repair evolve": Case(f"repair evolve rows.jsonl {_ORACLE}", rows),
    "repair correct": Case(f"repair correct rows.jsonl --from named --where 'kept' --truth Four. {_ORACLE}", named),
    "tune, lora": Case(f"tune rows.jsonl --method lora {_TUNE}", small),
    "tune, full": Case(f"tune rows.jsonl --method full {_TUNE}", small),
    "answer": Case("answer q.jsonl --model tiny --max-new-tokens 8 --batch-size 4", modelled, "q.jsonl"),
    "shift": Case("shift --tuned tuned --base tiny --answers answers.jsonl", modelled, "answers.jsonl"),
    "trace": Case("trace rows.jsonl --answers a.jsonl --reference r.jsonl", traced),
    "trace index": Case("trace index rows.jsonl", traced),
    "attribute": Case("attribute rows.jsonl --answers answers.jsonl --embedder none --base tiny", modelled),
    "attribute index": Case("attribute index rows.jsonl --embedder none --base tiny", modelled),
    "judge pairwise": Case(f"judge pairwise one.jsonl two.jsonl {_ORACLE}", judged, "one.jsonl"),
    "judge winrate": Case(f"judge winrate one.jsonl --reference two.jsonl {_ORACLE}", judged, "one.jsonl"),
    "judge aspects": Case(f"judge aspects one.jsonl two.jsonl --aspects depth {_ORACLE}", judged, "one.jsonl"),
    "judge claims": Case("judge claims one.jsonl two.jsonl --claims claims.jsonl", claims, "one.jsonl"),
    "judge recompute": Case("judge recompute annotations.jsonl", annotations, "annotations.jsonl"),
    "judge leaderboard": Case("judge leaderboard judged-x judged-y", ranked, ""),
    "bench": Case("bench first.jsonl second.jsonl third.jsonl --model tiny", questions, "first.jsonl"),
    "annotate create": Case("annotate create one.jsonl two.jsonl --kind pairs", judged, "one.jsonl"),
    "annotate agreement": Case("annotate agreement marks.jsonl --items items.jsonl", marked, "marks.jsonl"),
    "annotate export": Case("annotate export marks.jsonl --items items.jsonl --format potato", marked, "marks.jsonl"),
    "study run": Case("study run recipe.yaml", recipe),
    "study analyze": Case("study analyze scores.csv", scores, "scores.csv"),
    "report": Case("report checked selected compared", checked, ""),
}
"""By the verb; what is a verb's own trouble only with another option is a case of its own."""
HEAVY = frozenset({"measure", "tune, lora", "tune, full", "answer", "shift", "attribute", "attribute index", "bench"})
"""Those that need torch."""


def write(case: Case, folder: Path) -> Path:
    """Write a case's inputs into a new folder."""
    folder.mkdir(parents=True)
    case.write(folder)
    return folder


def copy(folder: Path, target: Path) -> Path:
    """Copy inputs into another folder, without runs."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("runs"), dirs_exist_ok=True)
    return target


def change(folder: Path, name: str) -> None:
    """Add the last line of an input once more, somewhat changed."""
    path = folder / name
    lines = path.read_text("utf-8").splitlines(keepends=True)
    if path.suffix == ".csv":
        lines.append("99" + lines[-1][1:])
    else:
        record = json.loads(lines[-1])
        if "mark_id" in record:
            record |= {"mark_id": "another", "annotator": "cy"}
        text = next(key for key in ("question", "instruction", "text", "output", "annotator", "turns") if key in record)
        old = record[text]
        record[text] = [f"{each} Yes." for each in old] if isinstance(old, list) else f"{old or ''} Yes."
        if "question_id" in record:
            record["question_id"] = 9999
        lines[-1] = json.dumps(record) + "\n"
    path.write_text("".join(lines), "utf-8")
