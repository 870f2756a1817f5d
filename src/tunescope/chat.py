"""From a conversation to token ids: with the model's own chat template, the same in training and generation.

A row's ids come with a mask of what is supervised: the assistant's tokens and the token that ends
its turn, nothing else. Where that can't be established the row is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tunescope.errors import SettingsError
from tunescope.rows import Message, Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Unrenderable(ValueError):
    """A conversation that this template can't render, or not so that we know what is supervised."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A rendered conversation: `ids` and, of the same length, whether each is `supervised`."""

    ids: tuple[int, ...]
    supervised: tuple[bool, ...]

    @property
    def n_supervised(self) -> int:
        """How many tokens are trained on."""
        return sum(self.supervised)

    def cut(self, length: int) -> Tokens:
        """Return the first `length` tokens."""
        return Tokens(self.ids[:length], self.supervised[:length])


class Chat:
    """One model's chat template at work."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop_ids: Iterable[int] = ()) -> None:
        """Take the tokenizer, and the ids that end a turn beside its own eos.

        Raises:
            SettingsError: the tokenizer has no chat template.
        """
        template = tokenizer.chat_template
        if isinstance(template, dict):
            template = template.get("default")
        if not template:
            raise SettingsError(
                f"{tokenizer.name_or_path or 'this tokenizer'} has no chat template; name an instruction-tuned model"
            )
        self.tokenizer = tokenizer
        self.template: str = template
        self.stop_ids = frozenset(i for i in (*stop_ids, tokenizer.eos_token_id) if i is not None)
        added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        self._special = sorted(added | set(tokenizer.all_special_tokens))
        self._marked = _training_template(tokenizer, template)

    def prompt(self, messages: Sequence[Message], tools: Sequence[Any] = ()) -> tuple[int, ...]:
        """Return the ids that the model continues: the messages and the header of its turn.

        Raises:
            Unrenderable: the template refuses them, or would leave something out.
        """
        self._refuse_what_would_be_lost(messages, tools)
        return self._ids(self._render(messages, tools, header=True))

    def row(self, row: Row) -> Tokens:
        """Return a row's ids, with all its assistant turns supervised that aren't flagged `train` false.

        Raises:
            Unrenderable: with the reason.
        """
        if not any(message.role == "assistant" for message in row.messages):
            raise Unrenderable("no assistant turn")
        self._refuse_what_would_be_lost(row.messages, row.tools)
        tokens = self._by_markers(row) if self._marked else None
        return tokens or self._by_prefixes(row)

    def _refuse_what_would_be_lost(self, messages: Sequence[Message], tools: Sequence[Any]) -> None:
        if tools and "tools" not in self.template:
            raise Unrenderable("tools, which the chat template doesn't render")
        for number, message in enumerate(messages):
            if message.tool_calls and "tool_calls" not in self.template:
                raise Unrenderable(f"tool calls in message {number}, which the chat template doesn't render")
            if message.role == "tool" and "tool" not in self.template:
                raise Unrenderable(f"a tool's reply in message {number}, which the chat template doesn't render")
            if message.thinking and "reasoning_content" not in self.template:
                raise Unrenderable(f"thinking text in message {number}, which the chat template doesn't render")
            found = next((token for token in self._special if token in (message.content or "")), None)
            if found is not None:
                raise Unrenderable(f"the model's own special token {found} as text in message {number}")

    def _render(self, messages: Sequence[Message], tools: Sequence[Any], header: bool) -> str:
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                [_plain(message) for message in messages],
                tools=list(tools) or None,
                add_generation_prompt=header,
                tokenize=False,
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise Unrenderable(f"the chat template refuses it ({' '.join(str(error).split())})") from error
        return str(text)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _by_markers(self, row: Row) -> Tokens | None:
        """Use the template's generation markers; None where prefixes must decide instead.

        They do where a turn is flagged, and where the marked tokens aren't, turn by turn, what the
        model would generate: after the prompt that it is given, up to a token at which it stops.
        """
        turns = list(row.turns())
        if any(message.train is False for _, _, message in turns):
            return None
        from jinja2 import TemplateError

        try:
            out: Any = self.tokenizer.apply_chat_template(
                [_plain(message) for message in row.messages],
                tools=list(row.tools) or None,
                chat_template=self._marked,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
        except (TemplateError, KeyError, TypeError, ValueError):  # prefixes will tell the reason
            return None
        ids, mask = tuple(out["input_ids"]), tuple(bool(bit) for bit in out["assistant_masks"])
        spans = list(_spans(mask))
        if len(spans) != len(turns):
            return None
        for (start, end), (_, before, _) in zip(spans, turns, strict=True):
            prompt = self._ids(self._render(before, row.tools, header=True))
            if ids[end - 1] not in self.stop_ids or ids[:start] != prompt:
                return None
        return Tokens(ids, mask)

    def _by_prefixes(self, row: Row) -> Tokens:
        """Render up to and with each assistant turn; what the turn added is supervised, up to its stop token."""
        whole = self._render(row.messages, row.tools, header=False)
        cuts: list[tuple[int, int, bool]] = []
        for turn, before, message in row.turns():
            prompt = self._render(before, row.tools, header=True)
            ended = self._render((*before, message), row.tools, header=False)
            if not ended.startswith(prompt) or not whole.startswith(ended):
                raise Unrenderable(f"turn {turn}: the chat template renders it differently once more follows")
            cuts.append((len(prompt), len(ended), message.train is not False))
        ids, places = self._pieces(whole, sorted({place for start, end, _ in cuts for place in (start, end)}))
        supervised = [False] * len(ids)
        for turn, (start, end, trained) in enumerate(cuts):
            first, behind = places[start], places[end]
            last = next((i for i in range(behind - 1, first - 1, -1) if ids[i] in self.stop_ids), None)
            if last is None:
                raise Unrenderable(f"turn {turn}: the chat template ends it with no token that the model stops at")
            if trained:
                supervised[first : last + 1] = [True] * (last + 1 - first)
        return Tokens(tuple(ids), tuple(supervised))

    def _pieces(self, text: str, cuts: Sequence[int]) -> tuple[list[int], dict[int, int]]:
        """Tokenise `text` so that a token begins at each of `cuts`; return the ids and cut → token number.

        The text as a whole where that does it; else piece by piece, as the model meets it when it
        answers, where the pieces spell the same text.
        """
        out = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        starts: dict[int, int] = {}
        for number, (start, end) in enumerate(out["offset_mapping"]):
            if end > start:
                starts.setdefault(start, number)
        starts[len(text)] = len(out["input_ids"])
        if all(cut in starts for cut in cuts):
            return list(out["input_ids"]), starts
        ids: list[int] = []
        places: dict[int, int] = {}
        for start, end in zip((0, *cuts), (*cuts, len(text)), strict=True):
            places[start] = len(ids)
            ids += self._ids(text[start:end])
        places[len(text)] = len(ids)
        if self.tokenizer.decode(ids, clean_up_tokenization_spaces=False) != text:
            raise Unrenderable("a token reaches from the prompt into the answer")
        return ids, places


def _training_template(tokenizer: PreTrainedTokenizerBase, template: str) -> str | None:
    """Return a template with generation markers: the model's own, or the one that TRL has for it."""
    if "{% generation" in template or "{%- generation" in template:
        return template
    try:
        from trl.chat_template_utils import get_training_chat_template

        patched = get_training_chat_template(tokenizer)
    except (ImportError, ValueError):  # ValueError: TRL knows no markers for this template
        return None
    return patched if isinstance(patched, str) else None


def _spans(mask: Sequence[bool]) -> Iterator[tuple[int, int]]:
    start = 0
    for bit, run in groupby(mask):
        end = start + len(list(run))
        if bit:
            yield start, end
        start = end


def _plain(message: Message) -> dict[str, Any]:
    """Return the message as chat templates take it; what is absent stays absent."""
    plain: dict[str, Any] = {"role": message.role, "content": message.content or ""}
    if message.tool_calls:
        plain["tool_calls"] = [dict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        plain["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        plain["name"] = message.name
    if message.thinking is not None:
        plain["reasoning_content"] = message.thinking
    return plain


def as_messages(prompt: str) -> tuple[Message, ...]:
    """Return a prompt's text as a conversation of one user message."""
    return (Message("user", prompt),)
