"""arena-hard's judgements (`model_judgment/JUDGE/MODEL.jsonl`): two games per question, with the sides swapped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.judgements.files import Document, DocumentRecord, Problems
from tunescope.judgements.formats import Format, ReadOptions
from tunescope.judgements.records import Judgements, PairJudgement, Presentation, Side
from tunescope.rows.json_text import kind

_BASELINE = "baseline"
"""The baseline's name where the file doesn't give it (arena-hard 0.1: gpt-4-0314)."""
_PREFERENCES: Mapping[str, float] = {"A>>B": 1.0, "A>B": 1.0, "A=B": 0.5, "B>A": 0.0, "B>>A": 0.0}
_VERDICT = re.compile(r"\[\[(A>>B|A>B|A=B|B>A|B>>A)\]\]")


def _detect(record: Mapping[str, Any]) -> bool:
    return {"model", "games"} <= record.keys() and ("question_id" in record or "uid" in record)


def _read(documents: Sequence[Document], options: ReadOptions) -> Judgements:
    """Read the games: a is the model, b the baseline, which is Assistant A in the first game.

    Raises:
        InputError: a faulty id, model or list of games.
    """
    problems, pairs = Problems(), []
    for document in documents:
        for record in document.records:
            pair = _read_pair(record, options.system_names, problems)
            if pair is not None:
                pairs.append(pair)
    problems.raise_any()
    return Judgements(pairs=pairs)


def _read_pair(record: DocumentRecord, names: Sequence[str], problems: Problems) -> PairJudgement | None:
    columns = record.value
    ident, model, games = columns.get("question_id", columns.get("uid")), columns.get("model"), columns.get("games")
    if isinstance(ident, bool) or not isinstance(ident, int | str):
        problems.add(record, f"{kind(ident)} in question_id", "a number or text")
    elif not isinstance(model, str) or not model:
        problems.add(record, f"{kind(model)} in model", "a model's name")
    elif not isinstance(games, list) or len(games) not in (1, 2):
        problems.add(record, f"{kind(games)} in games", "a list of one or two games")
    else:
        a, b = names or (model, str(columns.get("baseline") or _BASELINE))
        sides: tuple[Side, Side] = ("b", "a")
        orders = tuple(_presentation(side, game) for side, game in zip(sides, games, strict=False))
        return PairJudgement(str(ident), a, b, str(columns.get("judge") or ""), orders, place=str(record.location))
    return None


def _presentation(first: Side, game: Any) -> Presentation:
    if not isinstance(game, Mapping):
        return Presentation(first, None, "missing")
    judgment = game.get("judgment")
    reply = judgment.get("answer") if isinstance(judgment, Mapping) else judgment
    text = reply if isinstance(reply, str) else None
    score = game.get("score")
    if score is None and not text:
        return Presentation(first, None, "missing")
    return _of_verdict(first, score if isinstance(score, str) else "", text)


def _of_verdict(first: Side, verdict: str, text: str | None) -> Presentation:
    preference = _PREFERENCES.get(verdict)
    if preference is None:
        return Presentation(first, None, "unparsed", None, text)
    return Presentation(first, preference if first == "a" else 1 - preference, "ok", None, text)


def _parse(text: str, first: Side) -> Presentation:
    """Read a judgement: the one verdict [[A>>B]] to [[B>>A]] in it, as arena-hard's own script does."""
    verdicts = set(_VERDICT.findall(text))
    return _of_verdict(first, verdicts.pop() if len(verdicts) == 1 else "", text)


FORMAT = Format(
    name="arena_hard",
    shape='{"question_id" or "uid", "model", "judge", "games": [{"judgment", "score": "A>B"}, …]}',
    formula="Each of the two games is won, lost or tied. arena-hard's own score counts A>>B three times, and is a "
    "Bradley–Terry rate; this is the plain win rate. A game without a verdict is unparsed.",
    detect=_detect,
    read=_read,
    parse_pair=_parse,
    renames_systems=True,
)
