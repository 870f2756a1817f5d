"""The `Chat`: one chat template and one tokenizer, from rows to token ids and back to their pieces."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from tunescope.chat.completeness import MARK, THINK, restore_thinking, validate_answer, validate_rendering
from tunescope.chat.messages import split_alpaca_message, text_keys, to_template_message
from tunescope.chat.sequences import (
    RenderedTurn,
    SplitTurn,
    SupervisedTokens,
    TurnParts,
    Unrenderable,
    join_turns,
    supervise,
)
from tunescope.chat.templates import NAMED, read_template, tokenizer_name
from tunescope.errors import SettingsError
from tunescope.rows import Message, Row
from tunescope.rows.row import Json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_THINKING = ("reasoning_content", "reasoning", "thinking")
"""The names under which templates read an assistant's thinking."""
_USER = {"role": "user", "content": "a"}
"""A message for trial renderings."""
_CALL: list[dict[str, Any]] = [
    _USER,
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "id": "call00000", "function": {"name": "f", "arguments": {}}}],
    },
]
_REPLY = {"role": "tool", "content": "b", "name": "f", "tool_call_id": "call00000"}
"""A call and a tool's reply, for trial renderings."""
_BATCH = 256
"""Rows tokenised at a time."""


class Chat:
    """Renders conversations with one chat template and tokenises them with one tokenizer."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        stop_ids: Iterable[int] = (),
        template: str | None = None,
        template_args: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the tokenizer, the ids that end a turn besides its own eos, the template and its arguments.

        `template` is None (the tokenizer's own), a name of `NAMED`, or the path of a .jinja file. Our own templates
        begin with the tokenizer's bos where it writes one itself, and end each assistant turn with a token that the
        model stops at. `alpaca` and `vicuna` end it with the eos. `chatml` ends it with <|im_end|> where the model
        stops at that, with <|im_end|> and the eos where it is just a token of the vocabulary, and else with the eos
        alone (as text the marker would be part of every answer).

        Raises:
            SettingsError: no template, an unknown one, or no token that could end a turn.
        """
        self.tokenizer = tokenizer
        self.stop_ids = frozenset(i for i in (*stop_ids, tokenizer.eos_token_id) if i is not None)
        self.template = read_template(tokenizer, template)
        self._named = template if template in NAMED else None
        self._args = dict(template_args or {})
        if self._named:
            self._args |= self._turn_markers()
        added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        special = sorted(added | set(tokenizer.all_special_tokens), key=lambda token: (-len(token), token))
        self._special_tokens = re.compile("|".join(map(re.escape, special)) or "(?!)")
        self._is_blank = cache(self._decodes_to_blank)

    def _turn_markers(self) -> dict[str, str]:
        """Return what our own templates begin a conversation and end an assistant turn with."""
        tokenizer, marker = self.tokenizer, "<|im_end|>" if self._named == "chatml" else ""
        if marker not in tokenizer.get_vocab():
            marker = ""
        is_stop = tokenizer.convert_tokens_to_ids(marker) in self.stop_ids if marker else False
        if not is_stop and not tokenizer.eos_token:
            raise SettingsError(
                f"{tokenizer_name(tokenizer)} has no eos token, and {self._named} ends a turn with that"
            )
        has_bos = list(tokenizer("a")["input_ids"])[:1] == [tokenizer.bos_token_id]
        return {
            "begin": str(tokenizer.bos_token) if has_bos else "",
            "end_of_turn": marker if is_stop else f"{marker}{tokenizer.eos_token}",
        }

    def own_template(self) -> str:
        """Return the template with its arguments as defaults, for a tokenizer that is saved with a tuned model."""
        values = {
            name: "none" if value is None else json.dumps(value, ensure_ascii=False)
            for name, value in self._args.items()
        }
        defaults = (f"{{%- set {name} = {name} | default({value}) %}}" for name, value in values.items())
        return "".join(defaults) + self.template

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Any] = (), fields: Mapping[str, Json] | None = None
    ) -> tuple[int, ...]:
        """Return the ids that the model continues: the messages and the header of its turn.

        `fields` are those of the row that the messages come from: `alpaca` writes instruction and input under
        headings of their own where the fields show that a user message consists of both.

        Raises:
            Unrenderable: the template refuses them, or would leave something out.
        """
        self._validate_messages(messages, tools)
        template_messages = self._template_messages(messages, fields or {})
        text = self._render(template_messages, tools, header=True)
        validate_rendering(template_messages, text)
        return tuple(self._encode([text])[0].ids)

    def row(self, row: Row) -> SupervisedTokens:
        """Return a row's ids, with all its assistant turns supervised that aren't flagged `train` false.

        The sequence ends with the last supervised turn: what follows it teaches nothing.

        Raises:
            Inconsistent: no single sequence has every turn as it was generated; `turns` gives several.
            Unrenderable: with the reason.
        """
        (tokens,) = self.rows([row])
        if isinstance(tokens, Unrenderable):
            raise tokens
        return tokens

    def rows(self, rows: Iterable[Row]) -> Iterator[SupervisedTokens | Unrenderable]:
        """Yield for each row what `row` returns or raises; in batches, which is faster."""
        for turns in self._split_rows(rows):
            yield turns if isinstance(turns, Unrenderable) else join_turns(turns)

    def turns(self, row: Row) -> list[SupervisedTokens]:
        """Return a sequence for each assistant turn that isn't flagged `train` false, exactly as when it is generated.

        For templates that render a turn differently once more follows (Qwen3 drops earlier thinking).

        Raises:
            Unrenderable: with the reason.
        """
        (turns,) = self._split_rows([row])
        if isinstance(turns, Unrenderable):
            raise turns
        return [supervise(turn, [turn]) for turn in turns if turn.is_trained]

    def turn_parts(self, row: Row) -> Iterator[TurnParts]:
        """Yield each assistant turn of a row in pieces, whatever its `train` flag.

        Raises:
            Unrenderable: with the reason, before the first.
        """
        (parts,) = self.all_turn_parts([row])
        if isinstance(parts, Unrenderable):
            raise parts
        yield from parts

    def all_turn_parts(self, rows: Iterable[Row]) -> Iterator[list[TurnParts] | Unrenderable]:
        """Yield for each row what `turn_parts` yields, as a list, or raises; in batches, which is faster."""
        for turns in self._split_rows(rows):
            try:
                yield turns if isinstance(turns, Unrenderable) else [self._parts(turn) for turn in turns]
            except Unrenderable as error:
                yield error

    def _validate_messages(self, messages: Sequence[Message], tools: Sequence[Any]) -> None:
        """Raise `Unrenderable` for what the template would leave out, and for special tokens as text."""
        if tools and "tools" not in self.template:
            raise Unrenderable("tools, which the chat template doesn't render")
        if messages and messages[0].role == "system" and not self._writes_system:
            raise Unrenderable("the chat template leaves out message 0 (system)")
        for number, message in enumerate(messages):
            if message.tool_calls and "tool_calls" not in self.template:
                raise Unrenderable(f"tool calls in message {number}, which the chat template doesn't render")
            if message.role == "tool" and not self._writes_tool_replies:
                raise Unrenderable(f"a tool's reply in message {number}, which the chat template doesn't render")
            if message.thinking and not any(name in self.template for name in (*_THINKING, THINK)):
                raise Unrenderable(f"thinking text in message {number}, which the chat template doesn't render")
            text = f"{message.content or ''} {message.thinking or ''}"
            if message.tool_calls:
                text += json.dumps([dict(call) for call in message.tool_calls], ensure_ascii=False, default=str)
            token = self._special_tokens.search(text)
            if token is not None:
                raise Unrenderable(f"the model's own special token {token[0]} as text in message {number}")

    def _template_messages(self, messages: Sequence[Message], fields: Mapping[str, Json]) -> list[dict[str, Any]]:
        template_messages = [to_template_message(message) for message in messages]
        if self._named == "alpaca":
            for message in template_messages:
                message |= split_alpaca_message(message, fields)
        return template_messages

    def _render(self, messages: list[dict[str, Any]], tools: Sequence[Any], header: bool) -> str:
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                messages,
                tools=list(tools) or None,
                chat_template=self.template,
                add_generation_prompt=header,
                tokenize=False,
                **self._args,
            )
        except (TemplateError, KeyError, TypeError, ValueError) as error:
            raise Unrenderable(f"the chat template refuses it ({' '.join(str(error).split())})") from error
        return str(text)

    def _encode(self, texts: Sequence[str]) -> list[Any]:
        """Tokenise whole renderings; return the tokenizer's encodings, which have offsets."""
        batch = self.tokenizer(
            list(texts),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        if batch.encodings is None:
            raise SettingsError(
                f"{tokenizer_name(self.tokenizer)} has no fast tokenizer, which knows where an answer begins"
            )
        return list(batch.encodings)

    def _split_rows(self, rows: Iterable[Row]) -> Iterator[list[SplitTurn] | Unrenderable]:
        """Yield each row's assistant turns, rendered, tokenised and split into prompt, answer and end."""
        stream = iter(rows)
        while batch := list(islice(stream, _BATCH)):
            rendered = [self._render_turns(row) for row in batch]
            texts = [
                text
                for turns in rendered
                if isinstance(turns, list)
                for turn in turns
                for text in (turn.prompt, turn.ended)
            ]
            encodings = iter(self._encode(texts) if texts else ())
            for turns in rendered:
                if isinstance(turns, Unrenderable):
                    yield turns
                    continue
                encoded = [(turn, next(encodings), next(encodings)) for turn in turns]
                try:
                    yield [self._split_turn(turn, prompt, ended) for turn, prompt, ended in encoded]
                except Unrenderable as error:
                    yield error

    def _render_turns(self, row: Row) -> list[RenderedTurn] | Unrenderable:
        try:
            turns = list(row.turns())
            if not turns:
                raise Unrenderable("no assistant turn")
            if row.media:
                names = ", ".join(dict.fromkeys(str(column) for column, _ in row.media))
                raise Unrenderable(f"media (column {names}), which aren't text; drop the column to use the text alone")
            self._validate_messages(row.messages, row.tools)
            rendered, messages = [], self._template_messages(row.messages, row.fields)
            for number, before, message in turns:
                prompt = self._render(messages[: len(before)], row.tools, header=True)
                ended = self._render(messages[: len(before) + 1], row.tools, header=False)
                if not ended.startswith(prompt):
                    ended = restore_thinking(message, prompt, ended)
                if not ended.startswith(prompt) or (
                    self._header_text and ended.startswith(self._header_text, len(prompt))
                ):
                    raise Unrenderable(f"turn {number}: the chat template doesn't go on from its own header")
                rendered.append(RenderedTurn(row, number, before, message, prompt, ended))
            validate_rendering(messages[: len(turns[-1][1])], rendered[-1].prompt)
        except Unrenderable as error:
            return error
        return rendered

    def _split_turn(self, turn: RenderedTurn, prompt: Any, ended: Any) -> SplitTurn:
        """Split a turn into prompt, answer and end; the end is where the model stops first after the prompt."""
        start, ids, place = len(prompt.ids), ended.ids, len(turn.prompt)
        is_split_between_tokens = (
            ids[:start] == prompt.ids
            and (not start or ended.offsets[start - 1][1] <= place)
            and (start == len(ids) or ended.offsets[start][0] >= place)
        )
        if not is_split_between_tokens:  # tokenise the answer alone, as the model generates it
            ids = prompt.ids + self._encode([turn.ended[place:]])[0].ids
            if self._decode(ids) != self._decode(ended.ids):
                raise Unrenderable(f"turn {turn.number}: a token reaches from the prompt into the answer")
        stop = self._first_stop(ids, start)
        if stop is None:
            next_role = self._role_after_call if turn.message.tool_calls else self._role_after_answer
            if next_role is None:
                raise Unrenderable(
                    f"turn {turn.number}: the chat template ends it with no token that the model stops at"
                )
            ids, stop = [*ids, next_role], len(ids)
        rest = tuple(ids[stop + 1 :])
        if not self._is_blank(rest):
            raise Unrenderable(
                f"turn {turn.number}: it goes on behind {self._decode([ids[stop]])}, where the model stops"
            )
        validate_answer(turn)
        begin = stop + 1 - max(1, len(self._turn_end))
        end = begin if begin >= start and tuple(ids[begin : stop + 1]) == self._turn_end else stop
        return SplitTurn(turn, prompt, tuple(prompt.ids), tuple(ids[start:end]), tuple(ids[end : stop + 1]), rest)

    def _first_stop(self, ids: Sequence[int], start: int = 0) -> int | None:
        return next((i for i in range(start, len(ids)) if ids[i] in self.stop_ids), None)

    @cached_property
    def _writes_system(self) -> bool:
        """Whether the template renders a system message; also true where it raises for one, with its own reason."""
        text = self._render_or_empty([{"role": "system", "content": MARK}, _USER])
        return not text or MARK in text

    @cached_property
    def _writes_tool_replies(self) -> bool:
        """Whether the template renders a tool's reply; also true where it raises for one, with its own reason."""
        if "tool" not in self.template:
            return False
        text = self._render_or_empty([*_CALL, {**_REPLY, "content": MARK}])
        return not text or MARK in text

    @cached_property
    def _header_text(self) -> str:
        """The header of an assistant turn as text; "" where that isn't what the generation prompt adds."""
        without, prompt = (self._render_or_empty([_USER], header) for header in (False, True))
        return prompt.removeprefix(without) if prompt.startswith(without) else ""

    @cached_property
    def _turn_end(self) -> tuple[int, ...]:
        """The ids that the template writes behind an answer, up to the token that the model stops at."""
        text = self._render_or_empty([_USER, {"role": "assistant", "content": MARK}])
        ids = self._encode([text.partition(MARK)[2]])[0].ids
        stop = self._first_stop(ids)
        return () if stop is None else tuple(ids[: stop + 1])

    @cached_property
    def _role_after_answer(self) -> int | None:
        """The role token behind an answer, where the template ends it with nothing: GLM stops at the next role."""
        return self._next_role([_USER, {"role": "assistant", "content": "b"}], _USER)

    @cached_property
    def _role_after_call(self) -> int | None:
        """The role token behind a tool call, where the template ends it with nothing."""
        return self._next_role(_CALL, _REPLY)

    def _next_role(self, messages: list[dict[str, Any]], reply: dict[str, Any]) -> int | None:
        ended, more = self._render_or_empty(messages), self._render_or_empty([*messages, reply])
        ids = self._encode([more.removeprefix(ended)])[0].ids if ended and more.startswith(ended) else []
        return ids[0] if ids and ids[0] in self.stop_ids else None

    def _render_or_empty(self, messages: list[dict[str, Any]], header: bool = False) -> str:
        try:
            return self._render(messages, (), header)
        except Unrenderable:
            return ""

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def _decodes_to_blank(self, ids: tuple[int, ...]) -> bool:
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return not str(text).strip()

    def _parts(self, turn: SplitTurn) -> TurnParts:
        return TurnParts(
            turn=turn.rendered.number,
            prompt_ids=turn.prompt,
            answer_ids=turn.answer,
            header_ids=self._header(turn),
            instruction_ids=self._instruction(turn),
            stop_id=turn.end[-1],
        )

    def _header(self, turn: SplitTurn) -> tuple[int, ...]:
        """Return the ids of what `add_generation_prompt` adds to the messages."""
        rendered = turn.rendered
        if not rendered.before:
            return turn.prompt
        without = self._render(
            self._template_messages(rendered.before, rendered.row.fields), rendered.row.tools, header=False
        )
        if rendered.prompt.startswith(without):
            return self._span(turn, len(without), len(rendered.prompt))
        # Phi-3 closes a conversation that isn't to be continued: the header follows the renderings' common beginning
        ids = self._encode([without])[0].ids
        n_common = next((i for i, (a, b) in enumerate(zip(ids, turn.prompt, strict=False)) if a != b), len(ids))
        return turn.prompt[n_common:]

    def _instruction(self, turn: SplitTurn) -> tuple[int, ...]:
        """Return the ids of the last user message's own text, located by rendering marks in its place."""
        rendered = turn.rendered
        number = max((i for i, message in enumerate(rendered.before) if message.role == "user"), default=None)
        if number is None:
            return ()
        messages = self._template_messages(rendered.before, rendered.row.fields)
        keys = text_keys(messages[number])
        texts = [messages[number][key] for key in keys]
        messages[number] |= dict.fromkeys(keys, MARK)
        between = self._render(messages, rendered.row.tools, header=True).split(MARK)
        spans, place = [], len(between[0])
        if len(between) != len(texts) + 1 or not rendered.prompt.startswith(between[0]):
            return ()
        for text, behind in zip(texts, between[1:], strict=True):
            forms = (text, text.strip(), text.lstrip(), text.rstrip())
            form = next((form for form in forms if rendered.prompt.startswith(form + behind, place)), None)
            if form is None:
                return ()
            first = place + len(form) - len(form.lstrip())
            spans.append((first, max(first, place + len(form.rstrip()))))
            place += len(form) + len(behind)
        if place != len(rendered.prompt):
            return ()
        return tuple(i for span in spans for i in self._span(turn, *span))

    def _span(self, turn: SplitTurn, start: int, end: int) -> tuple[int, ...]:
        """Return the prompt's ids of a stretch of its text; of the text alone where a token reaches over its ends.

        White space before it may be in its first token, as in "▁word".
        """
        text, offsets = turn.rendered.prompt, turn.encoding.offsets
        inside = [i for i, (first, behind) in enumerate(offsets) if first < end and behind > start]
        if not inside:
            return ()
        if not text[offsets[inside[0]][0] : start].strip() and offsets[inside[-1]][1] <= end:
            return turn.prompt[inside[0] : inside[-1] + 1]
        return tuple(self._encode([text[start:end]])[0].ids)
