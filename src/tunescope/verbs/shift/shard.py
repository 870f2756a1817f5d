"""What `shift` does to one shard of answers: compare both models at each token of each answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tunescope.answers import Answer
from tunescope.chat import Chat, Unrenderable
from tunescope.models import silence_libraries
from tunescope.models.packing import Passage
from tunescope.results.record import keys, schema
from tunescope.results.shift import CLASSES, ShiftAnswer, ShiftTokens
from tunescope.rows import Message, Row
from tunescope.verbs.shift.pair import ModelPair, TokenShift
from tunescope.verbs.shift.places import in_first_part, offsets, pieces, sentences, spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARGINAL, _SHIFTED = 1, 3
"""A token is marginal from above the first of these ranks, shifted from above the second."""
_NUMBERS = ("kl", "kl_reverse", "base_prob", "base_rank", "log_ratio")
"""What `tokens` has of each token."""
_MEANS = ("kl", "kl_reverse", "base_prob", "base_rank", "outside_base", "outside_tuned")
"""What `answers` has the mean of."""


class _PreparedAnswer(NamedTuple):
    """An answer that both models can read: its tokens, their (start, end) in its text, and the two passages."""

    answer: Answer
    ids: tuple[int, ...]
    places: list[tuple[int, int]]
    base: Passage
    tuned: Passage


@dataclass(frozen=True, slots=True)
class Reader:
    """The two models, and what each of them sees before an answer."""

    pair: ModelPair
    chat: Chat
    base_context: Callable[[Answer], tuple[int, ...]] | None
    """Gives the ids that the base sees before an answer; None: the same as the tuned model."""
    top_k: int | None


def compare_shard(state: Reader, answers: Sequence[Answer], folder: Path) -> None:
    """Compare the models on some answers; write `tokens.parquet` and `answers.jsonl`, a record per answer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    by_number: dict[int, _PreparedAnswer] = {}
    reasons: dict[int, str] = {}
    with silence_libraries():
        for number, answer in enumerate(answers):
            try:
                by_number[number] = _prepare(state, answer)
            except Unrenderable as error:
                reasons[number] = str(error)
    prepared = list(by_number.values())
    shifts = state.pair.compare([each.base for each in prepared], [each.tuned for each in prepared], state.top_k)
    tables = []
    records: dict[int, ShiftAnswer] = {}
    for (number, each), shift in zip(by_number.items(), shifts, strict=True):
        if all(np.isfinite(getattr(shift, name)).all() for name in _NUMBERS):
            tokens = _tokens(state, each, shift)
            tables.append(tokens.table())
            records[number] = _means(each.answer.answer_id, tokens, shift)
        else:
            reasons[number] = (
                "the models' logits aren't all finite, or one gives no probability to what the other expects"
            )
    records |= {number: _unread(answers[number].answer_id, reason) for number, reason in reasons.items()}
    pq.write_table(pa.concat_tables(tables) if tables else schema(ShiftTokens).empty_table(), folder / "tokens.parquet")
    with (folder / "answers.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(records[number].as_json()) + "\n" for number in range(len(answers)))


def _prepare(state: Reader, answer: Answer) -> _PreparedAnswer:
    """Tokenise an answer after its prompt.

    Its own ids are taken where it has them and they decode to its text; else those that its text has after the prompt.

    Raises:
        Unrenderable: why it can't be read.
    """
    tokenizer, chat = state.pair.tuned.tokenizer, state.chat
    if not answer.text:
        raise Unrenderable("an empty answer")
    prompt, ids = chat.prompt(answer.messages), answer.token_ids or ()
    size = len(tokenizer)
    parts = pieces(tokenizer, ids) if all(0 <= i < size for i in ids) else []
    if "".join(parts) != answer.text:
        row = Row("", "", (*answer.messages, Message("assistant", answer.text)))
        *_, last = chat.turn_parts(row)
        prompt, ids = last.prompt_ids, last.answer_ids
        parts = pieces(tokenizer, ids)
    if not ids:
        raise Unrenderable("an answer that tokenises to nothing")
    places = spans(parts, answer.text) or offsets(tokenizer, ids, answer.text)
    if places is None:
        raise Unrenderable("the chat template writes something else than the answer's text")
    if not prompt:
        raise Unrenderable("nothing before the answer's first token")
    tuned = Passage(prompt, ids)
    base = tuned if state.base_context is None else Passage(state.base_context(answer), ids)
    reason = state.pair.reason_unreadable(base, tuned)
    if reason is not None:
        raise Unrenderable(reason)
    return _PreparedAnswer(answer, ids, places, base, tuned)


def _tokens(state: Reader, prepared: _PreparedAnswer, shift: TokenShift) -> ShiftTokens:
    """Return the tokens of one answer."""
    answer, places, tokenizer = prepared.answer, prepared.places, state.pair.tuned.tokenizer
    in_sentence = sentences(answer.text, places)
    top = [None if t == i else _shown(tokenizer, t) for t, i in zip(shift.top.tolist(), prepared.ids, strict=True)]
    return ShiftTokens(
        answer_id=[answer.answer_id] * len(prepared.ids),
        position=range(len(prepared.ids)),
        token_id=prepared.ids,
        token=[answer.text[start:end] for start, end in places],
        char_start=[start for start, _ in places],
        char_end=[end for _, end in places],
        sentence=in_sentence,
        part=["first" if first else "rest" for first in in_first_part(in_sentence)],
        token_class=list(map(_class_of, shift.base_rank.tolist())),
        top_token=top,
        base_top_token=[_shown(tokenizer, token) for token in shift.base_top.tolist()],
        **{name: getattr(shift, name) for name in _NUMBERS},
    )


def _class_of(rank: int) -> str:
    """Name the class of a token whose base rank is η: unshifted η = 1, marginal 1 < η ≤ 3, shifted η > 3."""
    return "unshifted" if rank <= _MARGINAL else "marginal" if rank <= _SHIFTED else "shifted"


def _shown(tokenizer: Any, token: int) -> str:
    """Return a token's own text; of a special token its name."""
    return str(tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _means(answer_id: str, tokens: ShiftTokens, shift: TokenShift) -> ShiftAnswer:
    """Return an answer's own shift: means over its tokens, over its sentences' parts, and shares of classes."""
    n = len(tokens.position)
    first, sentence = np.array(tokens.part) == "first", np.array(tokens.sentence)
    in_first, in_rest = (_sentence_means(shift.kl, sentence, part) for part in (first, ~first))
    apart = [in_first[number] - rest for number, rest in in_rest.items()]
    return ShiftAnswer(
        answer_id=answer_id,
        n_tokens=n,
        own_choice=tokens.top_token.count(None) / n,
        n_sentences=tokens.sentence[-1] + 1,
        kl_first=_mean(in_first.values()),
        n_first=len(in_first),
        kl_rest=_mean(in_rest.values()),
        n_rest=len(in_rest),
        kl_first_minus_rest=_mean(apart),
        kl_top_k=None if shift.kl_top_k is None else float(np.mean(shift.kl_top_k)),
        reason=None,
        **{name: tokens.token_class.count(name) / n for name in CLASSES},
        **{name: float(np.mean(getattr(shift, name))) for name in _MEANS},
    )


def _sentence_means(kl: NDArray[Any], sentence: NDArray[Any], part: NDArray[np.bool_]) -> dict[int, float]:
    """Return the mean KL over the tokens of each sentence that are in a part of it."""
    return {int(s): float(np.mean(kl[part & (sentence == s)])) for s in np.unique(sentence[part])}


def _mean(values: Collection[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _unread(answer_id: str, reason: str) -> ShiftAnswer:
    return ShiftAnswer.from_json({**dict.fromkeys(keys(ShiftAnswer)), "answer_id": answer_id, "reason": reason})
