"""From a conversation to token ids: with one chat template, the same in training and generation.

The template is the model's own, one of `NAMED`, or a file. A turn's sequence is the ids that the model
is given when it answers, the ids of its answer, and the token that ends its turn; the last two are
supervised, nothing else. Where that can't be established the row is refused with a reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope.errors import SettingsError
from tunescope.rows import Message, Row
from tunescope.rows.row import Json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMED = ("alpaca", "vicuna", "chatml")
"""The templates that we bring: files of `chat_templates/`."""
_THINKING = ("reasoning_content", "reasoning", "thinking")
"""The names under which templates read what the assistant thought."""
THINK, THOUGHT = "<think>", "</think>"
"""What opens and closes a thinking block."""
_RESERVED = frozenset(
    [
        "add_generation_prompt",
        "begin",
        "chat_template",
        "continue_final_message",
        "conversation",
        "conversations",
        "documents",
        "end_of_turn",
        "max_length",
        "messages",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "sanitize_control_tokens",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
    ]
)
"""What a template argument can't be called: we or transformers say it."""
MARK = "\ue000"
"""A character that no text uses (Unicode's private area): where it is rendered, a message's own text goes."""
USER = {"role": "user", "content": "a"}
"""A message to try templates with."""
BATCH = 256
"""Rows tokenised at a time."""


class Unrenderable(ValueError):
    """A conversation that this template can't render, or not so that we know what is supervised."""


class Inconsistent(Unrenderable):
    """A conversation whose turns can't stand in one sequence as each was generated; `Chat.turns` gives one for each."""


@dataclass(frozen=True, slots=True)
class SupervisedTokens:
    """A rendered conversation: `ids` and, of the same length, whether each is `supervised`."""

    ids: tuple[int, ...]
    supervised: tuple[bool, ...]

    @property
    def n_supervised(self) -> int:
        """How many tokens are trained on."""
        return sum(self.supervised)

    def cut(self, length: int) -> SupervisedTokens:
        """Return the first `length` tokens."""
        return SupervisedTokens(self.ids[:length], self.supervised[:length])


@dataclass(frozen=True, slots=True)
class TurnParts:
    """One assistant turn in the pieces that scoring needs, as token ids.

    Attributes:
        turn: its number, from 0.
        prompt_ids: what `Chat.prompt` gives for the messages before it.
        answer_ids: what the model writes behind the prompt, without what ends the turn. It holds all that
            the template puts there: an empty or full thinking block, tool calls, the blank of "ASSISTANT: ".
        header_ids: the header of the turn alone, the end of `prompt_ids`; where a token reaches from the last
            message into the header, the header's text tokenised alone.
        instruction_ids: the last user message's own text within `prompt_ids`, no template tokens; white space
            at its ends is left out. Empty where there is no such text.
        stop_id: the token that ends the turn.
    """

    turn: int
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    header_ids: tuple[int, ...]
    instruction_ids: tuple[int, ...]
    stop_id: int


class _Rendered(NamedTuple):
    """An assistant turn's two renderings: what the model is given, and the same with its answer."""

    row: Row
    number: int
    before: tuple[Message, ...]
    message: Message
    prompt: str
    ended: str


class _Turn(NamedTuple):
    """A turn's ids: the prompt, the answer, what ends the turn (its last token is the stop), what is left."""

    rendered: _Rendered
    encoding: Any  # of the prompt, with its offsets
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    end: tuple[int, ...]
    rest: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        return self.prompt + self.answer + self.end + self.rest

    @property
    def trained(self) -> bool:
        return self.rendered.message.train is not False


class Chat:
    """One tokenizer and one chat template at work."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        stop_ids: Iterable[int] = (),
        template: str | None = None,
        template_args: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the tokenizer, the ids that end a turn beside its own eos, the template and its arguments.

        `template` is None (the tokenizer's own), a name of `NAMED`, or the path of a .jinja file. Ours begin
        with the tokenizer's bos where it writes one itself, and end each assistant turn with a token that the
        model stops at: `alpaca` and `vicuna` with its eos; `chatml` with <|im_end|> where the model stops at
        that, with <|im_end|> and its eos where it only knows that token, with its eos alone where it doesn't
        (as text the marker would be part of every answer).

        Raises:
            SettingsError: no template, an unknown one, or no token that could end a turn.
        """
        self.tokenizer = tokenizer
        self.stop_ids = frozenset(i for i in (*stop_ids, tokenizer.eos_token_id) if i is not None)
        self.template = _template(tokenizer, template)
        self._named = template if template in NAMED else None
        self._args = dict(template_args or {})
        if self._named:
            self._args |= self._ends()
        added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        special = sorted(added | set(tokenizer.all_special_tokens), key=lambda token: (-len(token), token))
        self._special_text = re.compile("|".join(map(re.escape, special)) or "(?!)")
        self._is_blank = cache(self._decodes_to_blank)

    def _ends(self) -> dict[str, str]:
        tokenizer, marker = self.tokenizer, "<|im_end|>" if self._named == "chatml" else ""
        if marker not in tokenizer.get_vocab():
            marker = ""
        stops = tokenizer.convert_tokens_to_ids(marker) in self.stop_ids if marker else False
        if not stops and not tokenizer.eos_token:
            raise SettingsError(f"{_name(tokenizer)} has no eos token, with which {self._named} ends a turn")
        begins = list(tokenizer("a")["input_ids"])[:1] == [tokenizer.bos_token_id]
        return {
            "begin": str(tokenizer.bos_token) if begins else "",
            "end_of_turn": marker if stops else f"{marker}{tokenizer.eos_token}",
        }

    def own_template(self) -> str:
        """Return the template with its arguments said inside, for a tokenizer that is saved with a tuned model."""
        said = {
            name: "none" if value is None else json.dumps(value, ensure_ascii=False)
            for name, value in self._args.items()
        }
        return (
            "".join(f"{{%- set {name} = {name} | default({value}) %}}" for name, value in said.items()) + self.template
        )

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Any] = (), fields: Mapping[str, Json] | None = None
    ) -> tuple[int, ...]:
        """Return the ids that the model continues: the messages and the header of its turn.

        `fields` are the row's, where the messages come from one: `alpaca` writes an instruction and its
        input apart where they say that a user message is made of both.

        Raises:
            Unrenderable: the template refuses them, or would leave something out.
        """
        self._refuse_what_would_be_lost(messages, tools)
        plain = self._plain_messages(messages, fields or {})
        text = self._render(plain, tools, header=True)
        _refuse_what_is_lost(plain, text)
        return tuple(self._encode([text])[0].ids)

    def row(self, row: Row) -> SupervisedTokens:
        """Return a row's ids, with all its assistant turns supervised that aren't flagged `train` false.

        The sequence ends with the last turn that is supervised; what comes behind it teaches nothing.

        Raises:
            Inconsistent: no single sequence holds all turns as each was generated; `turns` gives several.
            Unrenderable: with the reason.
        """
        (out,) = self.rows([row])
        if isinstance(out, Unrenderable):
            raise out
        return out

    def rows(self, rows: Iterable[Row]) -> Iterator[SupervisedTokens | Unrenderable]:
        """Yield for each row what `row` returns or raises; in batches, which is faster."""
        for cut in self._cut_rows(rows):
            yield cut if isinstance(cut, Unrenderable) else _one_sequence(cut)

    def turns(self, row: Row) -> list[SupervisedTokens]:
        """Return a sequence for each assistant turn that isn't flagged `train` false, exactly as when it is generated.

        For templates that render a turn differently once more follows (Qwen3 drops what was thought earlier).

        Raises:
            Unrenderable: with the reason.
        """
        (cut,) = self._cut_rows([row])
        if isinstance(cut, Unrenderable):
            raise cut
        return [_sequence(turn, [turn]) for turn in cut if turn.trained]

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
        for cut in self._cut_rows(rows):
            try:
                yield cut if isinstance(cut, Unrenderable) else [self._parts(turn) for turn in cut]
            except Unrenderable as refused:
                yield refused

    def _refuse_what_would_be_lost(self, messages: Sequence[Message], tools: Sequence[Any]) -> None:
        if tools and "tools" not in self.template:
            raise Unrenderable("tools, which the chat template doesn't render")
        if messages and messages[0].role == "system" and not self._writes_system:
            raise Unrenderable("the chat template leaves out message 0 (system)")
        for number, message in enumerate(messages):
            if message.tool_calls and "tool_calls" not in self.template:
                raise Unrenderable(f"tool calls in message {number}, which the chat template doesn't render")
            if message.role == "tool" and "tool" not in self.template:
                raise Unrenderable(f"a tool's reply in message {number}, which the chat template doesn't render")
            if message.thinking and not any(name in self.template for name in (*_THINKING, THINK)):
                raise Unrenderable(f"thinking text in message {number}, which the chat template doesn't render")
            text = f"{message.content or ''} {message.thinking or ''}"
            if message.tool_calls:
                text += json.dumps([dict(call) for call in message.tool_calls], ensure_ascii=False, default=str)
            found = self._special_text.search(text)
            if found is not None:
                raise Unrenderable(f"the model's own special token {found[0]} as text in message {number}")

    def _plain_messages(self, messages: Sequence[Message], fields: Mapping[str, Json]) -> list[dict[str, Any]]:
        plain = [_plain(message) for message in messages]
        if self._named == "alpaca":
            for message in plain:
                message |= _instruction_and_input(message, fields)
        return plain

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
        """Tokenise whole renderings; return the tokenizer's encodings, which know their offsets."""
        out = self.tokenizer(
            list(texts),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        if out.encodings is None:
            raise SettingsError(f"{_name(self.tokenizer)} has no fast tokenizer, so where an answer begins is unknown")
        return list(out.encodings)

    def _cut_rows(self, rows: Iterable[Row]) -> Iterator[list[_Turn] | Unrenderable]:
        """Yield each row's assistant turns, rendered, tokenised and cut into their pieces."""
        stream = iter(rows)
        while batch := list(islice(stream, BATCH)):
            rendered = [self._render_turns(row) for row in batch]
            texts = [text for turns in rendered if isinstance(turns, list) for turn in turns for text in turn[4:]]
            codes = iter(self._encode(texts) if texts else ())
            for turns in rendered:
                if isinstance(turns, Unrenderable):
                    yield turns
                    continue
                pairs = [(turn, next(codes), next(codes)) for turn in turns]
                try:
                    yield [self._cut(*pair) for pair in pairs]
                except Unrenderable as refused:
                    yield refused

    def _render_turns(self, row: Row) -> list[_Rendered] | Unrenderable:
        try:
            turns = list(row.turns())
            if not turns:
                raise Unrenderable("no assistant turn")
            self._refuse_what_would_be_lost(row.messages, row.tools)
            out, plain = [], self._plain_messages(row.messages, row.fields)
            for number, before, message in turns:
                prompt = self._render(plain[: len(before)], row.tools, header=True)
                ended = self._render(plain[: len(before) + 1], row.tools, header=False)
                if not ended.startswith(prompt):
                    ended = _with_thinking(message, prompt, ended)
                if not ended.startswith(prompt) or (self._lead and ended.startswith(self._lead, len(prompt))):
                    raise Unrenderable(f"turn {number}: the chat template doesn't go on from its own header")
                out.append(_Rendered(row, number, before, message, prompt, ended))
            _refuse_what_is_lost(plain[: len(turns[-1][1])], out[-1].prompt)
        except Unrenderable as refused:
            return refused
        return out

    def _cut(self, turn: _Rendered, prompt: Any, ended: Any) -> _Turn:
        """Cut what follows the prompt at the first token that the model stops at."""
        start, ids, place = len(prompt.ids), ended.ids, len(turn.prompt)
        whole = (
            ids[:start] == prompt.ids
            and (not start or ended.offsets[start - 1][1] <= place)
            and (start == len(ids) or ended.offsets[start][0] >= place)
        )
        if not whole:  # a token reaches over the boundary: piece by piece, as the model meets it when it answers
            ids = prompt.ids + self._encode([turn.ended[place:]])[0].ids
            if self._decode(ids) != self._decode(ended.ids):
                raise Unrenderable(f"turn {turn.number}: a token reaches from the prompt into the answer")
        stop = self._first_stop(ids, start)
        if stop is None:
            behind = self._called if turn.message.tool_calls else self._spoken
            if behind is None:
                raise Unrenderable(
                    f"turn {turn.number}: the chat template ends it with no token that the model stops at"
                )
            ids, stop = [*ids, behind], len(ids)
        rest = tuple(ids[stop + 1 :])
        if not self._is_blank(rest):
            raise Unrenderable(
                f"turn {turn.number}: it goes on behind {self._decode([ids[stop]])}, where the model stops"
            )
        _refuse_what_is_unsaid(turn)
        begin = stop + 1 - max(1, len(self._ending))
        end = begin if begin >= start and tuple(ids[begin : stop + 1]) == self._ending else stop
        return _Turn(turn, prompt, tuple(prompt.ids), tuple(ids[start:end]), tuple(ids[end : stop + 1]), rest)

    def _first_stop(self, ids: Sequence[int], start: int = 0) -> int | None:
        return next((i for i in range(start, len(ids)) if ids[i] in self.stop_ids), None)

    @cached_property
    def _writes_system(self) -> bool:
        text = self._try([{"role": "system", "content": MARK}, USER])
        return not text or MARK in text  # where it refuses, it says why at the row

    @cached_property
    def _lead(self) -> str:
        """The header of an assistant turn as text; "" where that isn't what the generation prompt adds."""
        without, prompt = (self._try([USER], header) for header in (False, True))
        return prompt.removeprefix(without) if prompt.startswith(without) else ""

    @cached_property
    def _ending(self) -> tuple[int, ...]:
        """What the template writes behind an answer, up to the token that the model stops at."""
        text = self._try([USER, {"role": "assistant", "content": MARK}])
        ids = self._encode([text.partition(MARK)[2]])[0].ids
        stop = self._first_stop(ids)
        return () if stop is None else tuple(ids[: stop + 1])

    @cached_property
    def _spoken(self) -> int | None:
        """What stands behind an answer where the template ends it with nothing: GLM stops at the next role."""
        return self._next_role([USER, {"role": "assistant", "content": "b"}], USER)

    @cached_property
    def _called(self) -> int | None:
        """What stands behind a tool call where the template ends it with nothing."""
        call = {"type": "function", "id": "call00000", "function": {"name": "f", "arguments": {}}}
        reply = {"role": "tool", "content": "b", "name": "f", "tool_call_id": "call00000"}
        return self._next_role([USER, {"role": "assistant", "content": "", "tool_calls": [call]}], reply)

    def _next_role(self, messages: list[dict[str, Any]], reply: dict[str, Any]) -> int | None:
        ended, more = self._try(messages), self._try([*messages, reply])
        ids = self._encode([more.removeprefix(ended)])[0].ids if ended and more.startswith(ended) else []
        return ids[0] if ids and ids[0] in self.stop_ids else None

    def _try(self, messages: list[dict[str, Any]], header: bool = False) -> str:
        try:
            return self._render(messages, (), header)
        except Unrenderable:
            return ""

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def _decodes_to_blank(self, ids: tuple[int, ...]) -> bool:
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return not str(text).strip()

    def _parts(self, turn: _Turn) -> TurnParts:
        return TurnParts(
            turn=turn.rendered.number,
            prompt_ids=turn.prompt,
            answer_ids=turn.answer,
            header_ids=self._header(turn),
            instruction_ids=self._instruction(turn),
            stop_id=turn.end[-1],
        )

    def _header(self, turn: _Turn) -> tuple[int, ...]:
        """Return what `add_generation_prompt` adds to the messages."""
        rendered = turn.rendered
        if not rendered.before:
            return turn.prompt
        without = self._render(
            self._plain_messages(rendered.before, rendered.row.fields), rendered.row.tools, header=False
        )
        if rendered.prompt.startswith(without):
            return self._span(turn, len(without), len(rendered.prompt))
        # Phi-3 closes a conversation that isn't to be continued: what both renderings begin with isn't the header
        codes = self._encode([without])[0].ids
        same = next((i for i, (a, b) in enumerate(zip(codes, turn.prompt, strict=False)) if a != b), len(codes))
        return turn.prompt[same:]

    def _instruction(self, turn: _Turn) -> tuple[int, ...]:
        """Return the tokens of the last user message's own text, found by rendering marks in its place."""
        rendered = turn.rendered
        number = max((i for i, message in enumerate(rendered.before) if message.role == "user"), default=None)
        if number is None:
            return ()
        plain = self._plain_messages(rendered.before, rendered.row.fields)
        keys = _text_keys(plain[number])
        own = [plain[number][key] for key in keys]
        plain[number] |= dict.fromkeys(keys, MARK)
        between = self._render(plain, rendered.row.tools, header=True).split(MARK)
        spans, place = [], len(between[0])
        if len(between) != len(own) + 1 or not rendered.prompt.startswith(between[0]):
            return ()
        for text, behind in zip(own, between[1:], strict=True):
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

    def _span(self, turn: _Turn, start: int, end: int) -> tuple[int, ...]:
        """Return the prompt's tokens of a stretch of its text; of the text alone where a token reaches over its ends.

        White space before it may be in its first token, as in "▁word".
        """
        text, offsets = turn.rendered.prompt, turn.encoding.offsets
        inside = [i for i, (first, behind) in enumerate(offsets) if first < end and behind > start]
        if not inside:
            return ()
        if not text[offsets[inside[0]][0] : start].strip() and offsets[inside[-1]][1] <= end:
            return turn.prompt[inside[0] : inside[-1] + 1]
        return tuple(self._encode([text[start:end]])[0].ids)


def parse_template_args(pairs: Iterable[str]) -> dict[str, Any]:
    """Read `NAME=VALUE` as typed after `--template-arg`; the value as JSON where it is that, else as text.

    Raises:
        SettingsError: no name, a name that isn't an identifier or is ours, or one that comes twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise SettingsError(f"--template-arg {pair}: expected NAME=VALUE, such as enable_thinking=false")
        if name in _RESERVED:
            raise SettingsError(f"--template-arg {pair}: {name} isn't the template's to be told; drop it")
        if name in found:
            raise SettingsError(f"--template-arg {pair}: {name} was given before; give it once")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def as_messages(prompt: str) -> tuple[Message, ...]:
    """Return a prompt's text as a conversation of one user message."""
    return (Message("user", prompt),)


def _name(tokenizer: PreTrainedTokenizerBase) -> str:
    return tokenizer.name_or_path or "this tokenizer"


def _template(tokenizer: PreTrainedTokenizerBase, name: str | None) -> str:
    known = ", ".join(NAMED)
    if name in NAMED:
        return Path(__file__).with_name("chat_templates").joinpath(f"{name}.jinja").read_text("utf-8")
    if name is not None:
        if not name.endswith(".jinja") or not Path(name).is_file():
            raise SettingsError(f"--template {name}: found no such file; expected {known} or the path of a .jinja file")
        return Path(name).read_text("utf-8")
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default")
    if not own:
        raise SettingsError(
            f"{_name(tokenizer)} has no chat template; type --template with {known} or the path of a .jinja file, "
            "or name an instruction-tuned model"
        )
    return str(own)


def _refuse_what_is_lost(plain: Sequence[Mapping[str, Any]], rendering: str) -> None:
    """Refuse where a system or user message isn't in the rendering: templates may drop one without a word."""
    for number, message in enumerate(plain):
        if message["role"] in ("system", "user"):
            texts = [message[key].strip() for key in _text_keys(message)]
            if not all(text in rendering or _squeeze(text) in _squeeze(rendering) for text in texts):
                raise Unrenderable(f"the chat template leaves out message {number} ({message['role']})")


def _with_thinking(message: Message, prompt: str, ended: str) -> str:
    """Put the thinking back where the header opens a block for it and the finished turn has none.

    DeepSeek's R1 templates do so; it is closed as the model closes it: on a line of its own, before an empty one.
    Where the finished turn has a block (Nemotron's is empty and on one line), that goes on behind the header.
    """
    header = prompt.rstrip()
    opened = header.removesuffix(THINK)
    if opened == header or not ended.startswith(opened):
        return ended
    rest = ended[len(opened) :].lstrip()
    if rest.startswith(THINK):
        return prompt + rest.removeprefix(THINK).lstrip()
    content = message.content or ""
    thought = message.thinking or content.rpartition(THOUGHT)[0].strip().removeprefix(THINK)
    return f"{prompt}{thought.strip()}\n{THOUGHT}\n\n{rest}"


def _text_keys(plain: Mapping[str, Any]) -> tuple[str, ...]:
    return ("instruction", "input") if "input" in plain else ("content",)


def _refuse_what_is_unsaid(turn: _Rendered) -> None:
    """Refuse where the turn's own text, thinking or calls aren't in what follows the prompt."""
    said, message = turn.ended[len(turn.prompt) :], turn.message
    if turn.prompt.rstrip().endswith(THINK):  # said by the header
        said = THINK + said
    content = _squeeze(message.content or "")
    before, found, behind = _squeeze(said).rpartition(content) if content else (_squeeze(said), "", "")
    if content and not found:
        raise Unrenderable(f"turn {turn.number}: the chat template leaves out the text")
    others = before + MARK + behind  # what the text happens to say doesn't count as its thinking or a call
    if _squeeze(message.thinking or "") not in others:
        raise Unrenderable(f"turn {turn.number}: the chat template leaves out the thinking text")
    for call in message.tool_calls:
        function = call.get("function", call)
        name = str(function.get("name", "")) if isinstance(function, Mapping) else ""
        if _squeeze(name) not in others:
            raise Unrenderable(f"turn {turn.number}: the chat template leaves out the call of {name}")


def _squeeze(text: str) -> str:
    return "".join(text.split())


def _one_sequence(turns: Sequence[_Turn]) -> SupervisedTokens | Unrenderable:
    """Join the turns in the last one's sequence, where each stands in it as it was generated."""
    trained = [turn for turn in turns if turn.trained]
    last = (trained or turns)[-1]
    for turn in trained:
        made = turn.prompt + turn.answer + turn.end
        if last.ids[: len(made)] != made:
            number = turn.rendered.number
            return Inconsistent(f"turn {number}: the chat template renders it differently once more follows")
    return _sequence(last, trained)


def _sequence(last: _Turn, trained: Sequence[_Turn]) -> SupervisedTokens:
    supervised = [False] * len(last.ids)
    for turn in trained:
        start, end = len(turn.prompt), len(turn.prompt) + len(turn.answer) + len(turn.end)
        supervised[start:end] = [True] * (end - start)
    return SupervisedTokens(last.ids, tuple(supervised))


def _plain(message: Message) -> dict[str, Any]:
    """Return the message as chat templates take it; what is absent stays absent."""
    plain: dict[str, Any] = {"role": message.role, "content": message.content or ""}
    if message.tool_calls:
        plain["tool_calls"] = [_plain_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        plain["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        plain["name"] = message.name
    if message.thinking is not None:
        plain["reasoning_content"] = message.thinking
    return plain


def _plain_call(call: Mapping[str, Json]) -> dict[str, Json]:
    """Return a tool call with its arguments as an object: as text, many templates would quote them once more."""
    function = call.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
        return dict(call)
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        return dict(call)
    return {**call, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else dict(call)


def _instruction_and_input(message: Mapping[str, Any], fields: Mapping[str, Json]) -> dict[str, str]:
    """Return Alpaca's two columns where the user message is made of both, as `rows.formats.alpaca` joins them."""
    instruction, extra = fields.get("instruction"), fields.get("input")
    both = isinstance(instruction, str) and isinstance(extra, str) and instruction and extra
    if both and message["role"] == "user" and message["content"] == f"{instruction}\n\n{extra}":
        return {"instruction": str(instruction), "input": str(extra)}
    return {}
