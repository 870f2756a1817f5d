"""What `shift` does to one shard of answers: both models' numbers at each token of each answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tunescope.answers import Answer
from tunescope.chat import Chat, Unrenderable
from tunescope.models import silence_libraries
from tunescope.models.score import Passage
from tunescope.rows import Message, Row
from tunescope.verbs.shift.pair import Numbers, Pair
from tunescope.verbs.shift.places import in_first_part, offsets, pieces, sentences, spans

if TYPE_CHECKING:
    import pyarrow as pa

MARGINAL, SHIFTED = 1, 3
"""A token is marginal from above the first of these ranks, shifted from above the second."""
NUMBERS = ("kl", "kl_reverse", "base_prob", "base_rank", "log_ratio")


class _Ready(NamedTuple):
    """An answer that both models can read: its tokens, where they stand, and the passages."""

    answer: Answer
    ids: tuple[int, ...]
    places: list[tuple[int, int]]
    base: Passage
    tuned: Passage


@dataclass(frozen=True, slots=True)
class Reader:
    """Two models and how each is asked."""

    pair: Pair
    chat: Chat
    base_context: Callable[[Answer], tuple[int, ...]] | None
    """The ids that the base sees before the answer; None: the same as the tuned model."""
    top_k: int | None


def compare_shard(state: Reader, answers: Sequence[Answer], folder: Path) -> None:
    """Compare the models on some answers; write `tokens.parquet` and `answers.jsonl`, a record per answer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ready: dict[int, _Ready] = {}
    reasons: dict[int, str] = {}
    with silence_libraries():
        for number, answer in enumerate(answers):
            try:
                ready[number] = _prepared(state, answer)
            except Unrenderable as refused:
                reasons[number] = str(refused)
    found = state.pair.numbers([r.base for r in ready.values()], [r.tuned for r in ready.values()], state.top_k)
    tables = []
    records: list[dict[str, Any]] = [{"answer_id": answer.answer_id, "reason": None} for answer in answers]
    for (number, one), numbers in zip(ready.items(), found, strict=True):
        if all(np.isfinite(getattr(numbers, name)).all() for name in NUMBERS):
            columns = _columns(state, one, numbers)
            tables.append(_table(columns))
            records[number] |= _means(columns, numbers)
        else:
            reasons[number] = "the models' logits aren't all numbers, or one rules out what the other expects"
    for number, reason in reasons.items():
        records[number]["reason"] = reason
    pq.write_table(pa.concat_tables(tables) if tables else _table({}), folder / "tokens.parquet")
    with (folder / "answers.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def _prepared(state: Reader, answer: Answer) -> _Ready:
    """Tokenise an answer behind its prompt.

    Its own ids are taken where it has them and they are its text; else the ids that its text has behind the prompt.

    Raises:
        Unrenderable: why it can't be read.
    """
    tokenizer, chat = state.pair.tuned.tokenizer, state.chat
    if not answer.text:
        raise Unrenderable("an empty answer")
    prompt, ids = chat.prompt(answer.messages), answer.token_ids or ()
    known = len(tokenizer)
    parts = pieces(tokenizer, ids) if all(0 <= i < known for i in ids) else []
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
    reason = state.pair.refusal(base, tuned)
    if reason is not None:
        raise Unrenderable(reason)
    return _Ready(answer, ids, places, base, tuned)


def _columns(state: Reader, one: _Ready, numbers: Numbers) -> dict[str, Sequence[Any]]:
    """Return the columns of `tokens` for one answer."""
    answer, places, tokenizer = one.answer, one.places, state.pair.tuned.tokenizer
    in_sentence = sentences(answer.text, places)
    top = [None if t == i else _shown(tokenizer, t) for t, i in zip(numbers.top.tolist(), one.ids, strict=True)]
    columns = {
        "answer_id": [answer.answer_id] * len(one.ids),
        "position": range(len(one.ids)),
        "token_id": one.ids,
        "token": [answer.text[start:end] for start, end in places],
        "char_start": [start for start, _ in places],
        "char_end": [end for _, end in places],
        "sentence": in_sentence,
        "part": ["first" if first else "rest" for first in in_first_part(in_sentence)],
        "class": list(map(class_of, numbers.base_rank.tolist())),
        "top_token": top,
        "base_top_token": [_shown(tokenizer, token) for token in numbers.base_top.tolist()],
    }
    return {**columns, **{name: getattr(numbers, name) for name in NUMBERS}}


def class_of(rank: int) -> str:
    """Name the class of a token whose base rank is η: unshifted η = 1, marginal 1 < η ≤ 3, shifted η > 3."""
    return "unshifted" if rank <= MARGINAL else "marginal" if rank <= SHIFTED else "shifted"


def _shown(tokenizer: Any, token: int) -> str:
    """Return a token's own text; of a special token its name."""
    return str(tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False))


def types() -> dict[str, pa.DataType]:
    """Return the columns of `tokens`, in order, with their types."""
    import pyarrow as pa

    whole, real, text = pa.int32(), pa.float64(), pa.string()
    return {
        "answer_id": text,
        "position": whole,
        "token_id": whole,
        "token": text,
        "char_start": whole,
        "char_end": whole,
        "sentence": whole,
        "part": text,
        "kl": real,
        "kl_reverse": real,
        "base_prob": real,
        "base_rank": whole,
        "class": text,
        "log_ratio": real,
        "top_token": text,
        "base_top_token": text,
    }


def _table(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: pa.array(columns.get(name, ()), kind) for name, kind in types().items()})


def _means(columns: Mapping[str, Any], numbers: Numbers) -> dict[str, Any]:
    """Return an answer's own numbers: means over its tokens, over its sentences' parts, and shares of classes."""
    n = len(columns["position"])
    record: dict[str, Any] = {"n_tokens": n}
    record |= {name: float(np.mean(columns[name])) for name in ("kl", "kl_reverse", "base_prob", "base_rank")}
    for name in ("unshifted", "marginal", "shifted"):
        record[name] = columns["class"].count(name) / n
    record["own_choice"] = columns["top_token"].count(None) / n
    record["n_sentences"] = columns["sentence"][-1] + 1
    first, number = np.array(columns["part"]) == "first", np.array(columns["sentence"])
    means = {
        name: {int(s): float(np.mean(columns["kl"][part & (number == s)])) for s in np.unique(number[part])}
        for name, part in (("first", first), ("rest", ~first))
    }
    for name, of in means.items():
        record[f"kl_{name}"] = sum(of.values()) / len(of) if of else None
        record[f"n_{name}"] = len(of)
    apart = [means["first"][s] - rest for s, rest in means["rest"].items()]
    record["kl_first_minus_rest"] = sum(apart) / len(apart) if apart else None
    record |= {name: float(np.mean(getattr(numbers, name))) for name in ("outside_base", "outside_tuned")}
    if numbers.kl_top_k is not None:
        record["kl_top_k"] = float(np.mean(numbers.kl_top_k))
    return record
