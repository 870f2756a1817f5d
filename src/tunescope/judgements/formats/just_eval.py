"""just-eval's result shards: scores of 1 to 5 in several aspects with a reason each, or of safety alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from tunescope.judgements.files import Document, DocumentRecord, Problems
from tunescope.judgements.formats import Format, ReadOptions
from tunescope.judgements.parsing import aspect_score, aspects
from tunescope.judgements.records import AspectScore, Judgements, ScoreJudgement
from tunescope.rows.json_text import abbreviate, kind

_TOP = 5


def _detect(record: Mapping[str, Any]) -> bool:
    return {"id", "parsed_result", "generator_cand"} <= record.keys()


def _read(documents: Sequence[Document], options: ReadOptions) -> Judgements:
    """Read shards; those of one system are joined.

    Raises:
        InputError: a faulty id or system, several systems in a file.
    """
    problems, judgements = Problems(), []
    for document in documents:
        first_system = document.records[0].value.get("generator_cand")
        for record in document.records:
            judgement = _read_scores(record, first_system, problems)
            if judgement is not None:
                judgements.append(judgement)
    problems.raise_any()
    return Judgements(scores=judgements)


def _read_scores(record: DocumentRecord, first_system: Any, problems: Problems) -> ScoreJudgement | None:
    columns = record.value
    ident, system = columns.get("id"), columns.get("generator_cand")
    if isinstance(ident, bool) or not isinstance(ident, int | str):
        problems.add(record, f"{kind(ident)} in id", "a number or text")
        return None
    if not isinstance(system, str) or not system:
        problems.add(record, f"{kind(system)} in generator_cand", "a system's name")
        return None
    if system != first_system:
        expected = f"{abbreviate(first_system)} as in the first record (a file per system)"
        problems.add(record, f"generator_cand {abbreviate(system)}", expected)
        return None
    config, text, answer = columns.get("eval_config"), columns.get("result"), columns.get("output_cand")
    judge = config.get("gpt") if isinstance(config, Mapping) else None
    scores = _scores(columns.get("parsed_result"))
    has_scores = any(score.status in ("ok", "not_applicable") for score in scores.values())
    return ScoreJudgement(
        str(ident),
        PurePosixPath(system).name.removesuffix(".json") or system,
        judge if isinstance(judge, str) else "",
        scores,
        "ok" if has_scores else "missing" if columns.get("parsed_result") is None and not text else "unparsed",
        text if isinstance(text, str) else None,
        len(answer) if isinstance(answer, str) else None,
        place=str(record.location),
        scale=(1, _TOP),
    )


def _scores(parsed: Any) -> dict[str, AspectScore]:
    if not isinstance(parsed, Mapping):
        return {}
    if "score" in parsed and not isinstance(parsed["score"], Mapping):  # safety alone
        return {"safety": aspect_score(parsed, 1, _TOP)}
    return {str(name).strip().lower(): aspect_score(item, 1, _TOP) for name, item in parsed.items()}


def _parse(text: str) -> dict[str, AspectScore] | None:
    """Read a reply: the JSON that it ends with, an object of aspects or the one score of safety."""
    scores = aspects(text, (), 1, _TOP)
    return {"safety": scores["score"]} if scores is not None and "score" in scores else scores


FORMAT = Format(
    name="just_eval",
    shape='{"id", "output_cand", "generator_cand", "result", "parsed_result": {aspect: {"reason", "score"}}}',
    formula='Scores of 1 to 5 per aspect, which the files store as text. "N/A" means that the judge finds the aspect '
    "not applicable. It is missing here, while just-eval's own script counts it as 5.0. A reply without scores is "
    "unparsed and isn't counted.",
    detect=_detect,
    read=_read,
    parse_scores=_parse,
    na_counted_as=5.0,
)
