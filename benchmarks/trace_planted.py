"""Does `trace` find what was planted, and how much does it flag where nothing was?

    python benchmarks/trace_planted.py [--cases 200] [--seed 1]

Rows: random_9k, the cherry rows and dolly_3k (15,000 rows). Hosts: answers of llama-2-7b-chat, which never saw them, to
AlpacaEval's prompts from number 400 on. A stretch of a row's response, verbatim or with words replaced by others of the
rows, goes in at the edge of a sentence. The threshold is fitted elsewhere: on the null (other models' answers to the
prompts before number 400 and just-eval's, or without a reference the rows' own responses). Reported: the share of the
planted words that is flagged, how often the row (or one that holds the same words) comes first where a span was found,
the share of the host's words that is flagged; and for models that never saw the rows, how uniform p is. Last comes how
the false-positive rate moves two figures: the share of the words of models that never saw the rows that is flagged, and
the share of the planted words, as the mean over all cells.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tunescope.matching.word_ids import word_offsets
from tunescope.rows import open_rows
from tunescope.runs import RunFolder
from tunescope.stats import mean_pooled, mean_share
from tunescope.verbs.trace import null
from tunescope.verbs.trace.find import Finder, Matches, Reference, covered
from tunescope.verbs.trace.index import Index, IndexedRow, write_index
from tunescope.verbs.trace.rank import rank
from tunescope.verbs.trace.spans import select_spans

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ROWS = ("random_9k", "cherry_alpaca_5_percent_compressed", "dolly_3k")
SPLIT = 400
LENGTHS = (6, 8, 10, 16, 30)
CHANGES = {
    "verbatim": lambda n: [],
    "1 word": lambda n: [n // 2],
    "2 words": lambda n: [n // 3, 2 * n // 3],
    "every 4th": lambda n: range(3, n, 4),
}
UNSEEN = ("llama-2-7b-chat-hf", "gpt4", "wizardlm-13b")
"""Models that never saw the rows."""
RATES = (0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05)
EDGE = re.compile(r"(?<=[.!?])\s+")
PromptAndAnswer = tuple[str, str]
"""A prompt and an answer."""


def answers(name: str) -> list[PromptAndAnswer]:
    """Return a model's AlpacaEval answers, from its own file or from its annotations."""
    own = DATA / "alpaca_eval" / "outputs" / f"{name}.json"
    if own.exists():
        return [(r["instruction"], r["output"]) for r in json.loads(own.read_text("utf-8"))]
    records = json.loads((DATA / "alpaca_eval" / "annotations" / f"{name}.json").read_text("utf-8"))
    return [(r["instruction"], r["output_2"]) for r in records]


def reference(hosts: list[PromptAndAnswer]) -> list[PromptAndAnswer]:
    """Return other models' answers to other prompts."""
    pairs = [
        pair
        for name in ("gpt4", "wizardlm-13b", "text_davinci_003", "recycled-wizardlm-7b-v1.0")
        for pair in answers(name)[:SPLIT]
    ]
    host_prompts = {prompt for prompt, _ in hosts}
    for name in ("gpt-4-0314", "Llama-2-7b-chat-hf"):
        records = json.loads((DATA / "just_eval" / f"{name}.to_eval.json").read_text("utf-8"))
        pairs += [(r["instruction"], r["output"]) for r in records if r["instruction"] not in host_prompts]
    return pairs


@dataclass(frozen=True)
class Planted:
    """An answer with a stretch of a row in it.

    Attributes:
        prompt: the host's.
        text: the host with the stretch.
        begin: the number of the stretch's first word.
        passage: the stretch as it was planted.
        source: the stretch as it stands in its row.
        owner: the row's id.
    """

    prompt: str
    text: str
    begin: int
    passage: str
    source: str
    owner: str

    def comes_from(self, row: IndexedRow) -> bool:
        """Tell whether a row is the stretch's own, or holds the same words."""
        return row.row_id == self.owner or any(_holds(text.text, self.source) for text in row.texts)


class Study:
    """A null distribution and its threshold: with or without a reference."""

    def __init__(self, index: Index, distribution: null.NullDistribution, finder: Finder) -> None:
        """Take the default threshold of the null distribution."""
        self.index, self.distribution, self.finder = index, distribution, finder
        self.threshold = distribution.threshold(distribution.sample.rate)
        self.planted_in: list[tuple[Matches, slice]] = []
        self.unseen_texts: list[Matches] = []

    def look(self, prompt: str, text: str):
        """Return a text's matches, and which of its words are flagged."""
        query = self.index.numbering.look_up(text)
        matches = self.finder.find(query, self.index.numbering.look_up(prompt))
        return matches, flags_at(matches, self.threshold)

    def at_rate(self, rate: float) -> str:
        """Return what is flagged at a false-positive rate: a line of the table."""
        threshold = self.distribution.threshold(rate)
        flags = [flags_at(matches, threshold) for matches in self.unseen_texts]
        unseen = mean_pooled([float(part.sum()) for part in flags], [float(len(part)) for part in flags])
        recall = np.mean([flags_at(matches, threshold)[place].mean() for matches, place in self.planted_in])
        span = f"[{100 * unseen.low:.2f}, {100 * unseen.high:.2f}]"
        return f"{100 * rate:g} % | {threshold:.0f} | {100 * unseen.value:.2f} % {span} | {recall:.3f}"

    def planted(self, hosts: list[PromptAndAnswer], length: int, changes, cases: int, rng: random.Random) -> str:
        """Plant in hosts; return a line of the table."""
        recall, first, false, rest = [], [], [], []
        for _ in range(cases):
            case = self.plant(hosts, length, changes, rng)
            begin = case.begin
            matches, flags = self.look(case.prompt, case.text)
            self.planted_in.append((matches, slice(begin, begin + length)))
            recall.append(float(flags[begin : begin + length].mean()))
            false.append(float(flags.sum() - flags[begin : begin + length].sum()))
            rest.append(float(len(flags) - length))
            row = self.first_row(case, matches, length)
            if row is not None:
                first.append(case.comes_from(row))
        mean = mean_share(recall)
        outside = mean_pooled(false, rest)
        right = f"{np.mean(first):.2f} of {len(first)}" if first else "none found"
        interval = "" if mean.low is None else f" [{mean.low:.2f}, {mean.high:.2f}]"
        return f"{mean.value:.3f}{interval} | {right} | {100 * outside.value:.2f} %"

    def plant(self, hosts: list[PromptAndAnswer], length: int, changes, rng: random.Random) -> Planted:
        """Draw a host and a stretch of a row, and put the stretch at the edge of one of the host's sentences."""
        prompt, host = rng.choice(hosts)
        source, passage, owner = self._passage(length, changes, rng)
        cut = rng.choice([0, *(match.end() for match in EDGE.finditer(host)), len(host)])
        text = f"{host[:cut]} {passage} {host[cut:]}"
        return Planted(prompt, text, len(word_offsets(f"{host[:cut]} ")), passage, source, owner)

    def first_row(self, case: Planted, matches: Matches, length: int) -> IndexedRow | None:
        """Return the first row of the best span that overlaps the planted stretch; None where there is no span."""
        begin, end = case.begin, case.begin + length
        over = [s for s in select_spans(matches, self.threshold) if s.begin < end and s.end > begin]
        if not over:
            return None
        best = max(over, key=lambda s: s.score)
        return rank(self.index, matches.chains, best.chains, case.prompt, "")[0].row

    def _passage(self, length: int, changes, rng: random.Random) -> tuple[str, str, str]:
        """Draw a stretch of a response; return it, itself with words replaced, and its row's id."""
        while True:
            row = self.index.row(rng.randrange(self.index.about["rows"]))
            text = row.text("response")
            offsets = word_offsets(text)
            if len(offsets) < max(40, length):
                continue
            start = rng.randrange(len(offsets) - length + 1)
            pieces = [text[a:b] for a, b in offsets[start : start + length]]
            source = text[offsets[start][0] : offsets[start + length - 1][1]]
            gaps = [text[offsets[k][1] : offsets[k + 1][0]] for k in range(start, start + length - 1)]
            for place in changes(length):
                pieces[place] = self._other(pieces[place], rng)
            made = "".join(piece + gap for piece, gap in zip(pieces, [*gaps, ""], strict=True))
            if len(word_offsets(made)) == length:
                return source, made, row.row_id

    def _other(self, word: str, rng: random.Random) -> str:
        while True:
            text = self.index.row(rng.randrange(self.index.about["rows"])).text("response")
            offsets = word_offsets(text)
            if offsets:
                a, b = rng.choice(offsets)
                if text[a:b].casefold() != word.casefold() and text[a:b].isalnum():
                    return text[a:b]

    def answers_of(self, model: str, pairs: list[PromptAndAnswer]) -> str:
        """Return what is flagged in a model's answers, and how its p lies: a line of the table."""
        flagged, words, p = [], [], []
        for prompt, text in pairs:
            matches, flags = self.look(prompt, text)
            if len(flags) < null.MIN_WORDS:
                continue
            self.unseen_texts += [matches] if model in UNSEEN else []
            flagged.append(float(flags.sum()))
            words.append(float(len(flags)))
            p.append(float(self.distribution.p_values(matches.score, len(flags)).min()) if len(matches.score) else 1.0)
        share = mean_pooled(flagged, words)
        deciles = " ".join(f"{value:.2f}" for value in np.percentile(p, [5, 10, 25, 50, 75, 90]))
        distance = float(np.abs(np.sort(p) - np.arange(1, len(p) + 1) / len(p)).max())
        span = f"[{100 * share.low:.2f}, {100 * share.high:.2f}]"
        return f"{len(p)} | {100 * share.value:.2f} % {span} | {deciles} | {distance:.3f}"


def index_rows(folder: Path) -> Index:
    """Index the rows."""
    rows = open_rows([str(DATA / "instructions" / f"{name}.json") for name in ROWS])
    write_index(RunFolder(folder, "planted"), rows, rows.inputs)
    return Index(folder)


def host_answers() -> list[PromptAndAnswer]:
    """Return the answers that stretches go into."""
    return [pair for pair in answers("llama-2-7b-chat-hf")[SPLIT:] if len(word_offsets(pair[1])) >= 40]


def with_reference(index: Index, common: list[PromptAndAnswer]) -> Study:
    """Return the study in which other models' answers are the reference, and the null."""
    prompts, texts = ([index.numbering.look_up(text) for text in side] for side in zip(*common, strict=True))
    distribution = null.of_reference("the reference", texts, prompts, index).distribution()
    return Study(index, distribution, Finder(index, Reference.of("the reference", texts, index), compile=True))


def without_reference(index: Index) -> Study:
    """Return the study in which the rows themselves are the null."""
    return Study(index, null.leave_one_out(index).distribution(), Finder(index, compile=True))


def cells() -> list[tuple[str, int]]:
    """Return the kinds of change, each with the lengths that are planted."""
    return [(kind, length) for kind in CHANGES for length in LENGTHS if length > 6 or kind == "verbatim"]


def flags_at(matches: Matches, threshold: float):
    """Return which of a text's words lie in chains from a threshold on."""
    above = matches.score >= threshold
    return covered(matches.chains.begin[above], matches.chains.end[above], len(matches.query))


def _holds(text: str, source: str) -> bool:
    return " ".join(source.casefold().split()) in " ".join(text.casefold().split())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        index = index_rows(Path(place))
        hosts = host_answers()
        common = reference(hosts)
        ways = {"with a reference": with_reference(index, common), "without": without_reference(index)}
        sizes = f"{index.about['rows']:,} rows; {len(hosts)} hosts; {len(common):,} reference texts"
        print(f"{sizes}; {arguments.cases} cases a cell")
        for name, study in ways.items():
            rng = random.Random(arguments.seed)
            print(f"\n{name}: flagged from {study.threshold:.1f} bits on\n")
            print("| planted | words | flagged of it [95 %] | right row first, where found | flagged of the host |")
            print("|---|---|---|---|---|")
            for kind, length in cells():
                print(f"| {kind} | {length} | {study.planted(hosts, length, CHANGES[kind], arguments.cases, rng)} |")
            print("\n| model | answers | flagged of its words [95 %] | p at 5, 10, 25, 50, 75, 90 % | KS |")
            print("|---|---|---|---|---|")
            for model in (*UNSEEN, "text_davinci_003", "alpaca-7b"):
                print(f"| {model} | {study.answers_of(model, answers(model)[SPLIT:])} |", flush=True)
            print("\n| rate | bits | flagged of models that never saw the rows [95 %] | flagged of what is planted |")
            print("|---|---|---|---|")
            for rate in RATES:
                print(f"| {study.at_rate(rate)} |", flush=True)


if __name__ == "__main__":
    main()
