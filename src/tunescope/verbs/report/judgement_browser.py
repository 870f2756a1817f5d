"""Judgements one by one, for reading: the question, what was judged, and what the judge said of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.answers import Answer, answers_file, read_answers
from tunescope.errors import InputError, Problem, TunescopeError
from tunescope.judgements.files import JUDGEMENTS, expand, read_document
from tunescope.results.judge import PAIRS, JudgeKind, PairRow, ScoreRow
from tunescope.runs import Run
from tunescope.verbs.report.row_browser import Nouns, browser

_MOST_CHARACTERS = 4000
"""Characters of a text that the page has."""
_MOST_IN_ALL = 4_000_000
"""Characters of all judgements together; those that come later stay in the run's tables."""
_OUTCOMES = {1.0: "win", 0.5: "tie", 0.0: "loss", None: "no verdict"}
_MEANINGS = {
    "win": "the system's answer is better",
    "tie": "neither is better",
    "loss": "the reference's answer is better",
    "between": "a share of a win",
    "changed with the order": "the judge prefers one answer in one order, and not in the other",
    "no verdict": "no reply, or none with a verdict",
    "in the lower half": "a score in the lower half of its scale",
    "scored": "all its scores are in the upper half",
}
_CUT = "not shown: these answers can't be read any more as they were judged"


class _Side(NamedTuple):
    """A system's answers that were judged, by prompt id, and by what was asked."""

    by_id: Mapping[str, Answer]
    by_question: Mapping[str, Answer]

    def find(self, item: str, question: str | None) -> Answer | None:
        """Return the answer to an item; where that is another prompt here, the answer to the same question."""
        found = self.by_id.get(item)
        if found is not None and question in (None, found.asked.strip()):
            return found
        return self.by_question.get(question or "")


def judgements(run: Run) -> dict[str, Any] | str:
    """Return the browser's data of a judge's run, or why there is none."""
    try:
        records = _records(run)
        sides = _sides(run)
    except TunescopeError as error:
        return f"The judgements couldn't be read again: {error}"
    if JudgeKind.read(run).kind == PAIRS:
        made = map(partial(_pair, records, sides, run), PairRow.read_rows(run))
    else:
        made = map(partial(_scored, records, sides), _by_answer(ScoreRow.read_rows(run)))
    shown, n, size, counts = [], 0, 0, Counter[str]()
    for each in made:
        n += 1
        counts.update({fault[0] for fault in each["faults"]})
        size += sum(len(text) for _, text, _ in each["messages"])
        if size <= _MOST_IN_ALL:
            shown.append(each)
    again = Counter(each["id"] for each in shown)
    for each in shown:
        if again[each["id"]] > 1:
            each["id"], each["place"] = f"{each['id']}, {each['place']}", ""
    kinds = [[kind, said, counts[kind]] for kind, said in _MEANINGS.items() if counts[kind]]
    return browser(Nouns("Judgement", "judgement", "judgements"), kinds, shown, n)


def _records(run: Run) -> dict[str, Mapping[str, Any]]:
    """Return the judgement records by the place that the tables name.

    Raises:
        InputError: a file that is gone or can't be read, or has changed since it was read.
    """
    if "answers" in run.settings:
        own = read_document(str(run.path / JUDGEMENTS)).records
        return {str(record.location._replace(file=JUDGEMENTS)): record.value for record in own}
    found = dict[str, Mapping[str, Any]]()
    for file in expand(run.settings["files"]):
        document = read_document(file)
        if not _is_unchanged(Path(file), run.info["inputs"].get(file, "")):
            raise InputError([Problem(file, None, "another content than when it was read", "the same")])
        found |= {str(record.location): record.value for record in document.records}
    return found


def _is_unchanged(file: Path, known: str) -> bool:
    """Return whether a file has the content that a run's key knows as `HASH NAME`."""
    from tunescope.rows.containers import content_hash

    return file.is_file() and content_hash(file) == known.partition(" ")[0]


def _sides(run: Run) -> dict[str, _Side]:
    """Return each system's answers by its name; without those that aren't any more what was judged."""
    sides = {}
    for name, known in run.info["inputs"].items():
        if name.startswith("answers "):
            system = known.partition(" ")[2]
            file = answers_file(name.removeprefix("answers "))
            if _is_unchanged(file, known):
                answers = [answer for answer in read_answers(file) if not answer.turn and not answer.sample]
                by_question = {answer.asked.strip(): answer for answer in reversed(answers)}
                sides[system] = _Side({answer.prompt_id: answer for answer in answers}, by_question)
    return sides


def _pair(
    records: Mapping[str, Mapping[str, Any]], sides: Mapping[str, _Side], run: Run, row: PairRow
) -> dict[str, Any]:
    """Return a judgement of two answers."""
    record = records.get(row.place, {})
    against = f"{row.system} against {row.reference}"
    orders = [(row.preference_1, row.status_1, row.system_score_1, row.reference_score_1)]
    orders += [(row.preference_2, row.status_2, row.system_score_2, row.reference_score_2)]
    said = "; ".join(_order(*order) for order in orders if order[1] is not None)
    found = [[_OUTCOMES.get(row.value, "between"), against, said]]
    if None not in (row.preference_1, row.preference_2) and row.preference_1 != row.preference_2:
        found.append(["changed with the order", against, ""])
    messages = _texts(record)
    if "answers" in run.settings:
        reference = sides[row.reference].find(row.item, None) if row.reference in sides else None
        question = reference.asked.strip() if reference else None
        answer = sides[row.system].find(row.item, question) if row.system in sides else None
        judged = [("question", question), (row.system, answer.text if answer else None)]
        judged.append((row.reference, reference.text if reference else None))
        messages = [_message(name, _CUT if text is None else text) for name, text in judged] + messages
    return _judgement(row.item, row.place, found, messages)


def _order(preference: float | None, status: str | None, system: float | None, reference: float | None) -> str:
    if preference is None:
        return f"{status}"
    prefers = {1.0: "prefers the system's", 0.5: "prefers neither", 0.0: "prefers the reference's"}
    scores = "" if system is None or reference is None else f", {system:g} to {reference:g}"
    return prefers.get(preference, f"prefers the system's by {preference:.2f}") + scores


def _by_answer(rows: Iterable[ScoreRow]) -> Iterator[Sequence[ScoreRow]]:
    """Yield the scores of each answer by each judge."""
    grouped = defaultdict(list)
    for row in rows:
        grouped[row.item, row.system, row.judge, row.place].append(row)
    yield from grouped.values()


def _scored(
    records: Mapping[str, Mapping[str, Any]], sides: Mapping[str, _Side], rows: Sequence[ScoreRow]
) -> dict[str, Any]:
    """Return an answer's scores."""
    first = rows[0]
    record = records.get(first.place, {})
    low = [row for row in rows if row.score is not None and row.scale and row.score < sum(row.scale) / 2]
    kinds = ["in the lower half"] * bool(low) + ["no verdict"] * any(row.status != "ok" for row in rows)
    said = ", ".join(f"{row.aspect} {row.status if row.score is None else format(row.score, 'g')}" for row in rows)
    found = [[kind, first.system, said] for kind in kinds or ["scored"]]
    messages = _texts(record)
    if sides:
        answer = sides[first.system].find(first.item, None) if first.system in sides else None
        judged = [("question", answer.asked if answer else None), (first.system, answer.text if answer else None)]
        messages = [_message(name, _CUT if text is None else text) for name, text in judged] + messages
    return _judgement(first.item, first.place, found, messages)


def _texts(record: Mapping[str, Any]) -> list[list[Any]]:
    """Return the judge's replies, with whose answer was shown first; of others' files all texts of the record."""
    if isinstance(record.get("orders"), list):
        replies = [order for order in record["orders"] if order.get("text")]
        return [_message(f"the judge, the {order.get('first')}'s answer first", order["text"]) for order in replies]
    if "system" in record and "scores" in record:
        return [_message("the judge", record["text"])] if record.get("text") else []
    return [_message(name, value) for name, value in record.items() if isinstance(value, str) and value.strip()]


def _message(name: str, text: str) -> list[Any]:
    return [name, text[:_MOST_CHARACTERS], len(text) > _MOST_CHARACTERS]


def _judgement(item: str, place: str, found: list[list[str]], messages: list[list[Any]]) -> dict[str, Any]:
    return {"id": item, "place": place, "faults": found, "messages": messages, "marks": [], "history": None}
