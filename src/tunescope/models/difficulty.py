"""How surprising a turn is to a language model: three perplexities and both IFDs.

Perplexity is exp of the mean negative log-likelihood in nats per token, without the end-of-turn token. Both terms of
IFD score the same token ids of the answer. `ifd_ppl` is a ratio of perplexities (Superfiltering, Reflection-Tuning V2),
`ifd_loss` a ratio of losses (Cherry_LLM). The two are never mixed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tunescope.chat import Chat, TurnParts, Unrenderable, parse_template_args
from tunescope.errors import TunescopeError
from tunescope.models.generate import stop_ids
from tunescope.models.lazy import silence_libraries
from tunescope.models.load import Loaded
from tunescope.models.packing import Passage
from tunescope.models.score import Scorer

if TYPE_CHECKING:
    from tunescope.models.settings import LoadSettings
    from tunescope.rows import Row

COLUMNS = {
    "instruction_tokens": "tokens of the last user message's own text",
    "response_tokens": "tokens of the turn, its end left out",
    "ppl_instruction": "perplexity of the instruction's own tokens after the start token",
    "ppl_response": "perplexity of the turn without the instruction",
    "ppl_response_given": "perplexity of the turn, given everything before it",
    "ifd_ppl": "ppl_response_given / ppl_response",
    "ifd_loss": "the same ratio of losses (logarithms of the perplexities)",
}
TERMS = ("ppl_instruction", "ppl_response", "ppl_response_given")
_LARGEST = 700.0
"""Nats per token whose exponential a float still holds."""


class Likelihoods:
    """Measures the perplexities of turns with one model."""

    def __init__(self, loaded: Loaded, settings: LoadSettings, header: bool = False) -> None:
        """Take a loaded model and its template settings; `header` keeps the turn's header in the direct term.

        Raises:
            SettingsError: no chat template.
            TunescopeError: no token to start from.
        """
        tokenizer = loaded.tokenizer
        self.chat = Chat(
            tokenizer,
            stop_ids(loaded.model, tokenizer),
            template=settings.template,
            template_args=parse_template_args(settings.template_arg),
        )
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if start is None:
            raise TunescopeError(f"{loaded.name}: its tokenizer has neither a start nor an end token to begin with")
        self.start: int = start
        self.header = header
        self.limit: int | None = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
        with silence_libraries():
            self.scorer = Scorer(loaded.model)

    def measure(self, rows: Sequence[Row], terms: Collection[str] = TERMS) -> list[list[dict[str, Any]]]:
        """Score every turn of `rows` at once.

        Returns, for each row, a record per assistant turn: `COLUMNS`, and `reason`. A value that can't be scored is
        None, with the reason. A term that isn't in `terms` (of `TERMS`) is None, and so is what is computed from it.
        """
        records_of_rows: list[list[dict[str, Any]]] = []
        passages: list[Passage] = []
        cells: list[tuple[dict[str, Any], str]] = []  # the record and the term that each passage's loss goes into
        with silence_libraries():
            parts_of_rows = list(self.chat.all_turn_parts(rows))
        for row, parts in zip(rows, parts_of_rows, strict=True):
            if isinstance(parts, Unrenderable):
                records_of_rows.append([_empty_record(str(parts)) for _ in row.turns()])
                continue
            records = [_empty_record() for _ in parts]
            records_of_rows.append(records)
            for record, part in zip(records, parts, strict=True):
                record["instruction_tokens"] = len(part.instruction_ids) or None
                record["response_tokens"] = len(part.answer_ids)
                for name, passage in zip(TERMS, self._passages(part), strict=True):
                    if name not in terms:
                        continue
                    reason = self._why_unscorable(passage)
                    if reason:
                        _add_reason(record, f"{name}: {reason}")
                    else:
                        passages.append(passage)
                        cells.append((record, name))
        losses = [-float(np.mean(scores, dtype=np.float64)) for scores in self.scorer.score(passages)]
        for (record, name), loss in zip(cells, losses, strict=True):
            if loss < _LARGEST:
                record[name] = math.exp(loss)
            else:  # or NaN
                _add_reason(record, f"{name}: not finite, a loss of {loss:g} nats per token")
        for records in records_of_rows:
            for record in records:
                _add_ratios(record)
        return records_of_rows

    def _passages(self, part: TurnParts) -> tuple[Passage, Passage, Passage]:
        direct = (self.start, *part.header_ids) if self.header else (self.start,)
        return (
            Passage((self.start,), part.instruction_ids),
            Passage(direct, part.answer_ids),
            Passage(part.prompt_ids, part.answer_ids),
        )

    def _why_unscorable(self, passage: Passage) -> str:
        """Return why the model can't score a passage; "" where it can."""
        if not passage.target:
            return "no token to score"
        length = len(passage.context) + len(passage.target)
        return f"{length} tokens, the model takes {self.limit}" if self.limit and length > self.limit else ""


def _empty_record(reason: str | None = None) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {"reason": reason}


def _add_reason(record: dict[str, Any], reason: str) -> None:
    """Add a reason to those for which the record's values are missing."""
    record["reason"] = "; ".join(filter(None, (record["reason"], reason)))


def _add_ratios(record: dict[str, Any]) -> None:
    direct, given = record["ppl_response"], record["ppl_response_given"]
    if direct is None or given is None:
        return
    record["ifd_ppl"] = given / direct
    if direct > 1:
        record["ifd_loss"] = math.log(given) / math.log(direct)
    else:
        _add_reason(record, "ifd_loss: certain without the instruction")
