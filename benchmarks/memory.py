"""Peak memory of each verb against the number of rows, and of those that read answers against their length.

    python benchmarks/memory.py [--rows 1000 10000 50000] [--model-rows 1000 5000] [--verbs check select ...]
    python benchmarks/memory.py --lengths 256 1024 4096 [--model smollm2-135m]

Each measurement is a whole command in a fresh process with one thread. Memory is that of its process tree, looked at
every 50 ms: the memory that is no file's (`own`), and with it the largest process's pages of files, such as libraries,
a model's weights and memory-mapped indexes (`whole`). The slope is that of `own` from the smallest run to the largest,
in MB per thousand rows, or per thousand tokens. A verb's growth with its input is what it holds, not what it needs for
a row: so rows and answers are short, Alpaca-sized (`synthetic_rows.py`, 440 bytes) or the microworld's (70 bytes).

Verbs that run a model over rows use the microworld's, whose memory is next to nothing, and fewer rows. Lengths are of
one answer, cut from the same words, to `--model`; `answer` generates so many tokens from a prompt.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import synthetic_rows
from process_tree import Peak, measure_command
from scale import line, load, table, tiny_rows

TINY = "microworld"
REPLY = {"pattern": ".", "reply": '{"reason": "It is plain.", "grade": 4}'}
VERDICT = {"pattern": r".*(?P<mark>\w{8}): SCORE", "reply": r"\g<mark>: 7 6", "expand": True}


class Case(NamedTuple):
    """A verb's measurement.

    Attributes:
        before: commands that make what it reads, not measured.
        command: what is measured.
    """

    before: Sequence[Sequence[str]]
    command: Sequence[str]


def run(folder: Path, words: Sequence[str]) -> Peak:
    """Run a tunescope command in a folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TUNESCOPE_RUNS": "runs", "HF_HUB_OFFLINE": "1"}
    return measure_command([sys.executable, "-m", "tunescope", *words], environment, folder)


def write_lines(path: Path, records: Sequence[dict]) -> str:
    """Write JSON lines; return the file's name."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path.name


def texts(folder: Path, count: int) -> list[dict]:
    """Return Alpaca-sized rows."""
    path = folder / "rows.jsonl"
    if not path.exists():
        synthetic_rows.write(path, count)
    return [json.loads(text) for text in path.read_text("utf-8").splitlines()]


def plain_cases(folder: Path, count: int) -> dict[str, Callable[[], Case]]:
    """Return the verbs that run no model, each with its input of so many rows, answers, pairs or items."""
    rows = texts(folder, count)
    answers = [{"instruction": f"{n}: {row['instruction']}", "output": row["output"]} for n, row in enumerate(rows)]

    def answer_file(name: str, model: str) -> str:
        """Write a model's answers; each model's are its own, since a judge isn't asked about equal ones."""
        written = [{**each, "output": f"{model}: {each['output']}", "generator": model} for each in answers]
        (folder / name).write_text(json.dumps(written), "utf-8")
        return name

    def pairs() -> str:
        return write_lines(folder / "pairs.jsonl", [{**row, "false_output": row["output"][::-1]} for row in rows])

    def annotations() -> str:
        def record(number: int) -> dict:
            other = answers[(number + 1) % count]["output"]
            sides = {"output_1": answers[number]["output"], "output_2": other}
            return {
                "instruction": answers[number]["instruction"],
                "generator_1": "one",
                "generator_2": "two",
                **sides,
                "annotator": "judge",
                "preference": 1.0 + number % 2,
            }

        (folder / "annotations.json").write_text(json.dumps([record(number) for number in range(count)]), "utf-8")
        return "annotations.json"

    def fake(reply: dict) -> str:
        return f"fake:{write_lines(folder / 'fake.jsonl', [reply])}"

    few = "few.json"
    (folder / few).write_text(json.dumps([{**each, "generator": "one"} for each in answers[:100]]), "utf-8")
    check = ["check", "rows.jsonl", "--out", "checked"]
    select = ["select", "rows.jsonl", "--from", "checked", "--where", "faulty = false", "--out", "selected"]
    index = ["trace", "index", "rows.jsonl", "--out", "traced"]
    words = ["attribute", "index", "rows.jsonl", "--embedder", "none"]
    return {
        "check": lambda: Case([], check),
        "select --from a check": lambda: Case([check], select),
        "compare, rows and rows": lambda: Case([check, select], ["compare", "rows.jsonl", "selected"]),
        "falsify dose": lambda: Case([], ["falsify", "dose", pairs(), "--dose", "0.5"]),
        "repair rate, a fake": lambda: Case([], ["repair", "rate", "rows.jsonl", "--oracle", fake(REPLY)]),
        "trace index": lambda: Case([], index),
        "trace, 100 answers": lambda: Case([index], ["trace", "--answers", few, "--rows", "traced"]),
        "attribute index, words": lambda: Case([], words),
        "attribute, 100 answers, words": lambda: Case(
            [words], ["attribute", "--answers", few, "--rows", "rows.jsonl", "--embedder", "none"]
        ),
        "judge recompute, items": lambda: Case([], ["judge", "recompute", annotations()]),
        "judge pairwise, items, a fake": lambda: Case(
            [],
            ["judge", "pairwise", answer_file("a.json", "a"), answer_file("b.json", "b"), "--oracle", fake(VERDICT)],
        ),
        "annotate create, answers": lambda: Case(
            [], ["annotate", "create", answer_file("a.json", "a"), "--kind", "spans"]
        ),
        "report of a check": lambda: Case([check], ["report", "checked"]),
    }


def model_cases(folder: Path, count: int) -> dict[str, Callable[[], Case]]:
    """Return the verbs that run the microworld's model over so many of its rows."""
    rows = tiny_rows(folder / "tiny.jsonl", count).name
    records = [json.loads(text) for text in (folder / rows).read_text("utf-8").splitlines()]
    prompts = [{"prompt": f"{record['instruction']}"} for record in records]

    def answers() -> str:
        path = folder / "answers.json"
        path.write_text(json.dumps([{**record, "generator": "tuned"} for record in records]), "utf-8")
        return path.name

    tune = ["tune", rows, "--model", TINY, "--method", "full", "--max-steps", "2"]
    return {
        "measure": lambda: Case([], ["measure", rows, "--model", TINY, "--without", "coherence"]),
        "tune, 2 steps": lambda: Case([], tune),
        "answer, 4 tokens": lambda: Case(
            [],
            ["answer", write_lines(folder / "asked.jsonl", prompts), "--model", TINY, "--max-new-tokens", "4"],
        ),
        "shift": lambda: Case(
            [[*tune, "--out", "tuned"]],
            ["shift", "--base", TINY, "--tuned", "tuned", "--answers", answers()],
        ),
        "attribute index, gradients": lambda: Case(
            [], ["attribute", "index", rows, "--embedder", "none", "--base", TINY]
        ),
    }


def length_cases(folder: Path, model: str, length: int) -> dict[str, Callable[[], Case]]:
    """Return the verbs that read an answer with a model, each with one answer of about so many tokens."""
    from transformers import AutoTokenizer

    from tunescope.models.load import source

    tokenizer = AutoTokenizer.from_pretrained(source(model))
    words = " ".join(row["output"] for row in texts(folder, 1_000))
    answer = tokenizer.decode(tokenizer(words).input_ids[:length])
    row = {"instruction": "Write a long text.", "input": "", "output": answer}
    rows = write_lines(folder / "one.jsonl", [row])
    (folder / "answers.json").write_text(
        json.dumps([{"instruction": row["instruction"], "output": answer, "generator": "tuned"}]), "utf-8"
    )
    prompt = write_lines(folder / "asked.jsonl", [{"prompt": "Count from 1 to 10000, with one number on each line."}])
    (folder / "ten.jsonl").write_text("".join(json.dumps(each) + "\n" for each in texts(folder, 1_000)[:100]), "utf-8")
    new = str(length)
    tune = ["tune", "ten.jsonl", "--model", model, "--max-steps", "1", "--batch-size", "1", "--max-length", "64"]
    longest = ["--max-length", str(length + 64)]
    return {
        "measure": lambda: Case([], ["measure", rows, "--model", model, "--without", "coherence"]),
        "shift, LoRA and base": lambda: Case(
            [[*tune, "--out", "tuned"]], ["shift", "--tuned", "tuned", "--answers", "answers.json"]
        ),
        "answer": lambda: Case([], ["answer", prompt, "--model", model, "--max-new-tokens", new]),
        "tune, 1 step, LoRA": lambda: Case(
            [], ["tune", rows, "--model", model, "--max-steps", "1", "--batch-size", "1", *longest]
        ),
        "attribute index, gradients": lambda: Case(
            [], ["attribute", "index", rows, "--embedder", "none", "--base", model, *longest]
        ),
        "trace": lambda: Case([], ["trace", "--answers", "answers.json", "--rows", "ten.jsonl"]),
        "judge recompute": lambda: Case([], ["judge", "recompute", long_annotations(folder, answer)]),
    }


def long_annotations(folder: Path, answer: str) -> str:
    """Write 100 judgements of answers of that length."""
    record = {"generator_1": "one", "generator_2": "two", "output_1": answer, "output_2": answer, "annotator": "judge"}
    path = folder / "annotations.json"
    items = [{"instruction": f"Item {number}.", **record, "preference": 1.0 + number % 2} for number in range(100)]
    path.write_text(json.dumps(items), "utf-8")
    return path.name


def show(
    sizes: Sequence[int], cases_of: Callable[[Path, int], dict[str, Callable[[], Case]]], only: Sequence[str], unit: str
) -> None:
    """Print a line per verb: memory at each size, and what a thousand more take."""
    peaks: dict[str, list[Peak]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            done: set[tuple[str, ...]] = set()
            for verb, make in cases_of(folder, size).items():
                if only and not any(verb.startswith(each) for each in only):
                    continue
                case = make()
                for command in case.before:
                    if tuple(command) not in done:
                        run(folder, command)
                        done.add(tuple(command))
                done.add(tuple(case.command))
                peak = run(folder, case.command)
                peaks.setdefault(verb, []).append(peak)
                took = f"{peak.cpu:.1f} CPU s, load {load()}"
                print(
                    f"{verb}, {size:,} {unit}: own {peak.own / 1e6:.0f} MB, whole {peak.whole / 1e6:.0f} MB, {took}",
                    file=sys.stderr,
                )
    print()
    table("verb", *(f"{size:,} {unit}" for size in sizes), f"MB a thousand {unit}", "CPU s of the largest")
    for verb, each in peaks.items():
        slope = (each[-1].own - each[0].own) / 1e3 / (sizes[-1] - sizes[0]) if len(each) > 1 else float("nan")
        cells = (f"{peak.own / 1e6:.0f} ({peak.whole / 1e6:.0f})" for peak in each)
        line(
            f"`{verb.partition(',')[0]}`{verb[len(verb.partition(',')[0]) :]}",
            *cells,
            f"{slope:.2f}",
            f"{each[-1].cpu:.0f}",
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000, 10_000, 50_000])
    parser.add_argument("--model-rows", type=int, nargs="*", default=[1_000, 5_000])
    parser.add_argument("--lengths", type=int, nargs="*", default=[])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--verbs", nargs="*", default=[], help="only those whose names begin so")
    chosen = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}")
    if chosen.rows:
        show(chosen.rows, plain_cases, chosen.verbs, "rows")
    if chosen.model_rows:
        show(chosen.model_rows, model_cases, chosen.verbs, "rows")
    if chosen.lengths:
        show(chosen.lengths, lambda folder, n: length_cases(folder, chosen.model, n), chosen.verbs, "tokens")


if __name__ == "__main__":
    main()
