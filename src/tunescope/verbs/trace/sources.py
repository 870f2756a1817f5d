"""What `trace --answers` reads: the answers, a reference to compare them with, and the tokens of a `shift` run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tunescope import runs
from tunescope.answers import Answer, answers_file, holds_answers, read_answers
from tunescope.errors import RunError, SettingsError
from tunescope.matching.word_ids import split_words
from tunescope.progress import say
from tunescope.results.shift import CLASSES, ShiftTokens
from tunescope.results.trace import SpanTokens
from tunescope.runs import Run
from tunescope.verbs.trace.settings import TraceSettings

_UNSHIFTED, _MARGINAL, _SHIFTED = CLASSES


@dataclass(frozen=True, slots=True)
class _AnswerTokens:
    """The tokens of one answer, from a `shift` run.

    Attributes:
        ends: where each token ends in the answer, in characters [tokens].
        classes: unshifted, marginal or shifted [tokens].
        log_ratio: log of the tuned model's probability over the base's, in nats [tokens].
    """

    ends: NDArray[np.int64]
    classes: NDArray[np.str_]
    log_ratio: NDArray[np.float64]

    def summarize(self, begin: int, end: int, base_rate: float) -> SpanTokens | None:
        """Summarize the tokens that overlap the characters begin:end; return None where there are none.

        Args:
            begin: the first character.
            end: the one behind the last.
            base_rate: the share of shifted and marginal tokens over all answers.
        """
        starts = np.concatenate([[0], self.ends[:-1]])
        inside = (self.ends > begin) & (starts < end)
        count = int(inside.sum())
        if not count:
            return None
        shifted, marginal = (int((self.classes[inside] == name).sum()) for name in (_SHIFTED, _MARGINAL))
        return SpanTokens(
            n_tokens=count,
            shifted=shifted,
            marginal=marginal,
            mean_log_ratio=round(float(self.log_ratio[inside].mean()), 4),
            above_average=(shifted + marginal) / count > base_rate,
        )


@dataclass(frozen=True, slots=True)
class Sources:
    """What is traced, and what it is compared with.

    Attributes:
        answers: the answers.
        reference: (prompt, text) of each text of the reference; empty without one.
        reference_name: the reference's name, as typed; empty without one.
        tokens: the tokens of a `shift` run, by answer id.
        inputs: the content hash of each input, by its name.
    """

    answers: list[Answer]
    reference: list[tuple[str, str]]
    reference_name: str
    tokens: Mapping[str, _AnswerTokens]
    inputs: Mapping[str, str]

    @classmethod
    def read(cls, settings: TraceSettings) -> Sources:
        """Read the answers, the reference and the shift run.

        Raises:
            InputError, RunError, SettingsError: a file that can't be read; inputs that don't belong together.
        """
        from tunescope.rows.containers import content_hash

        assert settings.answers is not None
        path = answers_file(settings.answers)
        answers = list(read_answers(path))
        if not answers:
            raise SettingsError(f"{path}: found no answers; expected at least one")
        inputs = {settings.answers: content_hash(path)}
        name = settings.reference or _own_base(path, answers)
        reference: list[tuple[str, str]] = []
        if name is not None:
            reference, inputs[f"reference {name}"] = _read_reference(name)
        tokens: Mapping[str, _AnswerTokens] = {}
        if settings.shift is not None:
            run = Run(Path(settings.shift))
            tokens = _read_tokens(run, answers)
            inputs[f"shift {settings.shift}"] = run.identity
        if settings.embedder is not None:
            from tunescope.models.embedder import embedder_hash

            inputs[f"embedder {settings.embedder}"] = embedder_hash(settings.embedder)
        return cls(answers, reference, name or "", tokens, inputs)

    def base_rate(self) -> float:
        """Return the share of shifted and marginal tokens over all answers; 0 without a shift run."""
        if not self.tokens:
            return 0.0
        classes = np.concatenate([tokens.classes for tokens in self.tokens.values()])
        return float((classes != _UNSHIFTED).mean())


def prompt_text(answer: Answer) -> str:
    """Return the texts of all messages before an answer, one per line."""
    return "\n".join(message.content or "" for message in answer.messages)


def _own_base(path: Path, answers: Sequence[Answer]) -> str | None:
    """Return the run with the base model's own answers to the same prompts, decoded alike; None without one."""
    tuned = runs.producing_run(answers[0].model) if runs.producing_run(path) is not None and answers[0].model else None
    if tuned is None or tuned.verb != "tune":
        return None
    prompts = {(answer.prompt_id, answer.turn) for answer in answers}
    decoding = dict(answers[0].decoding)
    for run in runs.finished_runs():
        if run.verb != "answer" or run.settings["model"] != tuned.settings["model"]:
            continue
        base = list(read_answers(run.path / "answers.jsonl"))
        if prompts <= {(a.prompt_id, a.turn) for a in base} and dict(base[0].decoding) == decoding:
            say(f"reference: {run.path}, the answers of the base model {run.settings['model']}")
            return str(run.path)
    return None


def _read_reference(name: str) -> tuple[list[tuple[str, str]], str]:
    """Read a reference, answers or rows; return (prompt, text) of each, and the hash of all.

    Raises:
        SettingsError: the reference has no words.
    """
    from tunescope.rows import open_rows
    from tunescope.rows.containers import content_hash

    in_folder = Path(name) / "answers.jsonl"
    path = str(in_folder) if in_folder.is_file() else name
    if holds_answers(path):
        texts = [(prompt_text(answer), answer.text) for answer in read_answers(path)]
        hashed = content_hash(Path(path))
    else:
        rows = open_rows([path])
        texts = [(row.instruction, row.response) for row in rows]
        hashed = " ".join(rows.inputs.values())
    if not any(split_words(text) for _, text in texts):
        raise SettingsError(f"--reference {name} has no words; expected answers or rows with text")
    return texts, hashed


def _read_tokens(run: Run, answers: Sequence[Answer]) -> dict[str, _AnswerTokens]:
    """Read the tokens of a shift run, by answer id.

    Raises:
        SettingsError, RunError: another verb's run, one without tokens, or with tokens of none of the answers.
    """
    if run.verb != "shift":
        raise SettingsError(f"--shift {run.path} is a run of {run.verb}; expected a run of shift")
    tokens = {
        answer_id: _AnswerTokens(*map(np.array, (part.char_end, part.token_class, part.log_ratio)))
        for answer_id, part in ShiftTokens.read(run).by_answer().items()
    }
    if not any(answer.answer_id in tokens for answer in answers):
        raise RunError(f"--shift {run.path} has tokens of none of the answers; run shift on the same answers")
    return tokens
