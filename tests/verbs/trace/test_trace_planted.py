"""Truth that is planted: what of it is found, and what is flagged that isn't it.

Words are drawn by Zipf's law, and phrases from a stock that all texts say, so that nothing but the planted stretches is
borrowed.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.tools import write_rows
from tests.verbs.trace.planted import Writer, prose_rows, put

from tunescope.answers import read_answers
from tunescope.matching.word_ids import word_offsets
from tunescope.verbs.trace import trace
from tunescope.verbs.trace.settings import TraceSettings

pytestmark = pytest.mark.usefixtures("workplace")

N_ROWS, N_HOSTS, HOST = 600, 60, 80
EDITS = ("verbatim", "one changed", "every fourth changed", "one inserted", "one left out")


def edited(words: list[str], how: str) -> list[str]:
    middle = len(words) // 2
    if how == "one changed":
        return [*words[:middle], "changed", *words[middle + 1 :]]
    if how == "every fourth changed":
        return [f"changed{i}" if i % 4 == 3 else word for i, word in enumerate(words)]
    if how == "one inserted":
        return [*words[:middle], "inserted", *words[middle:]]
    return [*words[:middle], *words[middle + 1 :]] if how == "one left out" else words


def planted(folder, length: int, how: str, seed: int):
    """Trace hosts that hold a stretch of a row each; return the run, and per answer (row, first word, last word)."""
    records = prose_rows(N_ROWS, seed=1)
    writer, truth, texts = Writer(1000 + seed), [], []
    for _ in range(N_HOSTS):
        row, begin = int(writer.rng.integers(N_ROWS)), int(writer.rng.integers(40 - length + 1))
        words = edited(records[row]["output"].split()[begin : begin + length], how)
        at = int(writer.rng.integers(HOST))
        host = writer.prose(HOST).split()
        texts.append(" ".join([*host[:at], *words, *host[at:]]))
        truth.append((row + 1, at, at + len(words)))
    path = str(write_rows(folder / "rows.jsonl", records))
    return trace(TraceSettings(rows=(path,), answers=put(folder / "a.jsonl", *texts))), truth


def measured(run, truth):
    """Return the share of planted words in spans, the share of the other words in spans, and of right first rows."""
    answers = list(read_answers(run.path / "answers.jsonl"))
    spans = list(run.records("spans"))
    inside = within = outside = others = right = found = 0
    for answer, (line, begin, end) in zip(answers, truth, strict=True):
        flags = np.zeros(len(word_offsets(answer.text)), bool)
        for span in spans:
            if span["answer_id"] == answer.answer_id:
                words = [
                    i
                    for i, (a, b) in enumerate(word_offsets(answer.text))
                    if a >= span["char_start"] and b <= span["char_end"]
                ]
                flags[words] = True
                if words[0] < end and words[-1] >= begin:
                    found += 1
                    right += span["rows"][0]["line"] == line
        inside, within = inside + int(flags[begin:end].sum()), within + end - begin
        outside, others = outside + int(flags.sum() - flags[begin:end].sum()), others + len(flags) - (end - begin)
    return inside / within, outside / others, right / max(found, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "how", "recall"),
    [
        (8, "verbatim", 0.2),
        (16, "verbatim", 1.0),
        (30, "verbatim", 1.0),
        (16, "one changed", 0.99),
        (16, "one inserted", 0.99),
        (16, "one left out", 0.99),
        (16, "every fourth changed", 0.7),
        (30, "every fourth changed", 0.99),
    ],
)
def test_planted_stretches_are_found(tmp_path, length, how, recall):
    run, truth = planted(tmp_path, length, how, seed=length + 100 * EDITS.index(how))
    covered, false, right = measured(run, truth)
    assert covered >= recall
    assert false <= 0.035  # 2.5 % of the null texts' words are flagged
    assert right == 1.0


@pytest.mark.slow
def test_clean_hosts(tmp_path):
    """Texts that hold nothing of the rows: little more than the share asked for is flagged, p is uniform."""
    path = str(write_rows(tmp_path / "rows.jsonl", prose_rows(N_ROWS, seed=1)))
    texts = [Writer(5000 + i).prose(20 + i % 100) for i in range(400)]
    run = trace(TraceSettings(rows=(path,), answers=put(tmp_path / "a.jsonl", *texts), false_positive_rate=0.05))
    answers = run.tables["answers"].to_pylist()
    flagged = sum(a["flagged"] for a in answers) / sum(a["tokens"] for a in answers)
    p = np.array([a["p"] for a in answers])
    assert flagged <= 0.075
    low, high = (run.result["summary"]["excess"][side] for side in ("low", "high"))
    assert low <= 0 <= high
    for a in (0.05, 0.1, 0.25, 0.5):
        assert (p <= a).mean() == pytest.approx(a, abs=0.05)
