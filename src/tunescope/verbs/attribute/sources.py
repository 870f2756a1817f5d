"""What `attribute` reads: the answers, or the one that was typed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from tunescope.answers import Answer, answers_file, read_answers, read_typed
from tunescope.errors import SettingsError
from tunescope.prompts import Prompt
from tunescope.runs import producing_run
from tunescope.verbs.attribute.settings import AttributeSettings
from tunescope.verbs.attribute.spans import Spans, read_spans, spans_file

_TYPED = "text"
"""The prompt id of an answer that was typed."""


class AnswersToAttribute(NamedTuple):
    """What is attributed.

    Attributes:
        answers: the answers.
        spans: the stretches of them that are asked for.
        inputs: the content of each input, by its name.
    """

    answers: list[Answer]
    spans: Spans
    inputs: Mapping[str, str]


def read_sources(settings: AttributeSettings) -> AnswersToAttribute:
    """Read the answers, or make one of what was typed.

    Raises:
        InputError, RunError, SettingsError: answers that can't be read, or none; an empty text.
    """
    if settings.text is not None:
        text = read_typed(settings.text, "--text", sys.stdin.buffer)
        prompt = (settings.prompt or "").strip()
        answers = [Answer.to(Prompt(_TYPED, prompt), text, "")]
        return AnswersToAttribute(answers, read_spans(settings, answers), {"text": text, "prompt": prompt})
    from tunescope.rows.containers import content_hash

    assert settings.answers is not None
    path = answers_file(settings.answers)
    run = producing_run(settings.answers)
    if run is not None and run.verb == "judge claims" and path.is_file() and not path.stat().st_size:
        raise SettingsError(
            f"{path}: no answer states a claim, so there is nothing to attribute; compare the answers with the phrases "
            "of the claims, or ask about one answer with --text and --prompt"
        )
    answers = list(read_answers(path))
    if not answers:
        raise SettingsError(f"{path}: found no answers; expected at least one")
    inputs = {settings.answers: content_hash(path)}
    spans = read_spans(settings, answers)
    if settings.spans is not None:
        inputs[f"spans {settings.spans}"] = content_hash(spans_file(settings.spans))
    return AnswersToAttribute(answers, spans, inputs)
