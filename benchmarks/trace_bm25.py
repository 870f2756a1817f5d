"""`trace` beside BM25, which is what one would otherwise take to find the rows behind an answer's phrase.

    python benchmarks/trace_bm25.py [--rounds 5] [--cases 200] [--seed 1] [--save]

It is different work. `trace` says which words of an answer stand in which row, and whether chance explains that; BM25
ranks whole rows by the words that they share with the whole answer, and names no words.

**Time**: 200 answers of alpaca-7b over the 52,000 rows of `real_rows.py`, from a text to the numbers of its rows, in
turn, after a warm-up. Ours looks up words, finds chains, picks spans and ranks each span's rows. bm25s does all answers
in one call, ten rows each, by its settings for speed (numba, English stop words left out). Building either index is
timed once.

**Accuracy**: the planted stretches of `trace_planted.py`, with its reference. How often the planted row, or one with
the same words, comes first: in `trace`'s best span over the stretch, where no span is a miss; by BM25 of the whole
answer, and of the stretch alone, which one would have to know. BM25 is given whole rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from trace import command, report

import bm25s
import numpy as np
from real_rows import DATA, write
from sides import Comparison
from trace_planted import CHANGES, Planted, Study, cells, host_answers, index_rows, reference, with_reference

from tunescope.stats import proportion_from_counts
from tunescope.verbs.trace import null
from tunescope.verbs.trace.find import Finder
from tunescope.verbs.trace.index import Index
from tunescope.verbs.trace.rank import rank
from tunescope.verbs.trace.spans import select_spans

TOP = 10


class Bm25:
    """bm25s over an index's rows."""

    def __init__(self, index: Index) -> None:
        """Index whole rows, instruction and input and response."""
        texts = ["\n".join(part.text for part in row.texts) for row in index.rows()]
        begun = time.perf_counter()
        self.model = bm25s.BM25(backend="numba")
        self.model.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)
        self.seconds = time.perf_counter() - begun

    def rank(self, texts: Sequence[str]) -> np.ndarray:
        """Return the numbers of the first rows of each text: [texts, TOP]."""
        tokens = bm25s.tokenize(list(texts), show_progress=False)
        return self.model.retrieve(tokens, k=TOP, show_progress=False).documents


def trace_all(finder: Finder, threshold: float, queries: Sequence[tuple[str, str]]) -> int:
    """Trace prompts and answers to the rows of their spans; return how many rows were named."""
    index, named = finder.index, 0
    look_up = index.numbering.look_up
    for prompt, text in queries:
        matches = finder.find(look_up(text), look_up(prompt))
        for span in select_spans(matches, threshold):
            named += len(rank(index, matches.chains, span.chains, prompt, ""))
    return named


def time_answers(rounds: int) -> tuple[list[float], list[float]]:
    """Print how long both sides take; return seconds per answer of each round, ours and BM25's."""
    records = json.loads((DATA / "alpaca_eval/outputs/alpaca-7b.json").read_text("utf-8"))[:200]
    queries = [(record["instruction"], record["output"]) for record in records]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(folder / "rows.json")
        print(f"trace index, whole process: {command(folder, 'trace', 'index', 'rows.json', '--out', 'index'):.2f} s")
        index = Index(folder / "index")
        bm25 = Bm25(index)
        print(f"bm25s, tokenizing and indexing the same {index.about['rows']:,} rows: {bm25.seconds:.2f} s")
        distribution = null.load(index.path).distribution()
        finder, threshold = Finder(index, compile=True), distribution.threshold(distribution.sample.rate)
        ours: list[float] = []
        theirs: list[float] = []
        for number in range(rounds + 1):
            begun = time.process_time()
            named = trace_all(finder, threshold, queries)
            middle = time.process_time()
            bm25.rank([text for _, text in queries])
            end = time.process_time()
            if number:  # the first warms up
                ours.append((middle - begun) / len(queries))
                theirs.append((end - middle) / len(queries))
        print(f"{len(queries)} answers; trace named {named} rows")
        report("an answer, trace with its rows", ours, "ms")
        report("an answer, bm25s", theirs, "ms")
    return ours, theirs


def right_rows(study: Study, bm25: Bm25, cases: int, seed: int) -> dict[tuple[str, int], np.ndarray]:
    """Plant stretches; per kind and length, tell which way names the right row: [4, cases], in the table's order."""
    rng, hosts, answers = random.Random(seed), host_answers(), {}
    rows = list(study.index.rows())
    for kind, length in cells():
        drawn: list[Planted] = [study.plant(hosts, length, CHANGES[kind], rng) for _ in range(cases)]
        lists = [bm25.rank([getattr(case, part) for case in drawn]) for part in ("text", "passage")]
        flags = np.zeros((4, cases), bool)
        for number, case in enumerate(drawn):
            top = study.first_row(case, study.look(case.prompt, case.text)[0], length)
            whole, stretch = ([case.comes_from(rows[row]) for row in each[number]] for each in lists)
            flags[:, number] = (top is not None and case.comes_from(top), whole[0], any(whole), stretch[0])
        answers[kind, length] = flags
    return answers


def compare_rows(cases: int, seed: int) -> np.ndarray:
    """Print the table of right rows; return the shares over all cells: [4]."""
    with tempfile.TemporaryDirectory() as place:
        index = index_rows(Path(place))
        each = right_rows(with_reference(index, reference(host_answers())), Bm25(index), cases, seed)
        print(f"\n{index.about['rows']:,} rows, {cases} cases a cell\n")
    print("| planted | words | trace, first row | BM25 of the answer, first | among 10 | of the stretch, first |")
    print("|---|---|---|---|---|---|")
    for (kind, length), flags in each.items():
        print(f"| {kind} | {length} | {' | '.join(f'{share:.3f}' for share in flags.mean(axis=1))} |")
    every = np.concatenate([*each.values()], axis=1)
    estimates = [proportion_from_counts(int(flags.sum()), len(flags)) for flags in every]
    cell = " | ".join(f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in estimates)
    print(f"| all | | {cell} |", flush=True)
    return every.mean(axis=1)


def main() -> None:
    """Print times and tables; keep the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="keep the comparison for RESULTS.md")
    arguments = parser.parse_args()
    print(f"bm25s {bm25s.__version__}, load {os.getloadavg()[0]:.1f}")
    traced, first, among, stretch = compare_rows(arguments.cases, arguments.seed)
    ours, theirs = time_answers(arguments.rounds)
    if arguments.save:
        n = len(cells()) * arguments.cases
        Comparison(
            name="trace-bm25",
            what="`trace`: an answer's spans and their rows in 52,000 rows (of 200 answers; seconds of the processor)",
            peer=f"bm25s {bm25s.__version__}, the first {TOP} rows of a whole answer",
            ours=ours,
            theirs=theirs,
            same="different work: BM25 ranks rows and names no words. The row of a planted stretch comes first in "
            f"{traced:.0%} of {n:,} by `trace`, in {first:.0%} by BM25 of the whole answer ({among:.0%} among {TOP}), "
            f"in {stretch:.0%} by BM25 of the stretch alone, were it known",
            packages=("numpy", "numba"),
        ).save()


if __name__ == "__main__":
    main()
