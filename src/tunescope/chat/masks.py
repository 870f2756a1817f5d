"""Which tokens a chat template has supervised, and what is wrong with that, found on trial conversations without rows.

Three ways to supervise are looked at. `marked` is what the template's own `{% generation %}` marks say: what
transformers returns with `return_assistant_tokens_mask`, and what TRL's `assistant_only_loss` trains on. `all` is every
token, what TRL trains on by default. `tune` is what `Chat` supervises, which refuses a conversation where it can't be
right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, Literal, NamedTuple

from tunescope.chat.chat import Chat
from tunescope.chat.sequences import Inconsistent, SupervisedTokens, Unrenderable
from tunescope.chat.stand_in import stand_in_tokenizer
from tunescope.chat.templates import read_template
from tunescope.rows import Message, Row

Supervise = Literal["marked", "all", "tune"]
_SYSTEM, _ASKED, _AGAIN, _THOUGHT, _REPLY, _TOOL = "qsystem", "qasked", "qagain", "qthought", "qreply", "qtool"
_FIRST, _LAST = "qfirst", "qlast"
"""The words of the trial conversations; each is in one message, and in no template."""

MEANINGS = {
    "nothing_supervised": "no token is supervised",
    "system_supervised": "the system message is supervised",
    "user_supervised": "a user's message is supervised",
    "tool_reply_supervised": "a tool's reply is supervised",
    "header_supervised": "the header of the assistant's turn, which the model is given, is supervised",
    "answer_not_supervised": "the last answer isn't supervised, or not as a whole",
    "earlier_turn_not_supervised": "the last answer is supervised, and an earlier one isn't",
    "thinking_not_supervised": "the answer is supervised, and the thinking before it isn't",
    "call_not_supervised": "an answer is supervised, and a tool call isn't",
    "end_not_supervised": "the token that ends the turn isn't supervised: the model doesn't learn to stop",
    "no_end_of_turn": "no special token follows the answer: nothing teaches the model to stop",
    "trailing_supervised": "text after the end of the turn is supervised, although the model never writes it",
    "prompt_not_prefix": "the prompt for an answer isn't the beginning of the conversation with that answer",
    "earlier_turn_differs": "an earlier turn is written differently once another follows: it isn't as it was generated",
    "double_bos": "the conversation begins with two bos tokens",
    "system_dropped": "a system message is silently left out",
    "user_dropped": "a user's message is silently left out",
    "answer_dropped": "an answer is silently left out",
    "thinking_dropped": "the thinking of the last answer is silently left out",
    "call_dropped": "a tool call is silently left out",
    "tool_reply_dropped": "a tool's reply is silently left out",
}
"""Each fault of a mask, and what it means."""


class Trial(NamedTuple):
    """A trial conversation: its name, its messages as templates take them, the tools it has.

    A template takes part if its text has one of the names that the trial `needs`.
    """

    name: str
    messages: list[dict[str, Any]]
    tools: tuple[dict[str, Any], ...] = ()
    needs: tuple[str, ...] = ()


class Stretch(NamedTuple):
    """Text of tokens that follow each other and are all supervised, or all not, and how many they are."""

    text: str
    is_supervised: bool
    tokens: int


class TrialMask(NamedTuple):
    """A trial as it is supervised: its stretches, the faults it shows, or why the template refuses it."""

    trial: Trial
    stretches: tuple[Stretch, ...]
    faults: tuple[str, ...]
    refusal: str = ""


def _message(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


_CALL = {"type": "function", "id": "call00001", "function": {"name": _TOOL, "arguments": {"place": "Oslo"}}}
_PARAMETERS = {"type": "object", "properties": {"place": {"type": "string", "description": "where"}}}
_TOOLS = ({"type": "function", "function": {"name": "w", "description": "Looks", "parameters": _PARAMETERS}},)
_EXCHANGE = [_message("user", _ASKED), _message("assistant", _FIRST)]
TRIALS = (
    Trial("two turns", [*_EXCHANGE, _message("user", _AGAIN), _message("assistant", _LAST)]),
    Trial("a system message", [_message("system", _SYSTEM), _message("user", _ASKED), _message("assistant", _LAST)]),
    Trial(
        "thinking",
        [_message("user", _ASKED), _message("assistant", _LAST, reasoning_content=_THOUGHT)],
        needs=("thinking", "reasoning", "<think>"),
    ),
    Trial(
        "a tool call",
        [
            _message("user", _ASKED),
            _message("assistant", "", tool_calls=[_CALL]),
            _message("tool", _REPLY, tool_call_id="call00001", name=_TOOL),
            _message("assistant", _LAST),
        ],
        _TOOLS,
        ("tool_calls",),
    ),
)
"""What is asked of a template: several turns, a system message, thinking, and a tool's call and reply."""


@dataclass(frozen=True)
class MaskedTemplate:
    """A chat's template as trainers mask it."""

    chat: Chat

    @cached_property
    def template(self) -> str:
        """The template's text, with its arguments as defaults."""
        return self.chat.own_template()

    def tokens(self, trial: Trial, supervise: Supervise) -> SupervisedTokens:
        """Return a trial's ids and which are supervised; raises `Unrenderable`."""
        if supervise == "tune":
            return self._as_tune(trial)
        encoded = self._apply(trial.messages, trial.tools, return_dict=True, return_assistant_tokens_mask=True)
        ids = tuple(encoded["input_ids"])
        mask = tuple(bool(flag) for flag in encoded["assistant_masks"])
        return SupervisedTokens(ids, mask if supervise == "marked" else (True,) * len(ids))

    def _as_tune(self, trial: Trial) -> SupervisedTokens:
        """Return the row's one sequence, or the turns' sequences behind each other."""
        row = Row("trial", "trial", tuple(map(_as_message, trial.messages)), tools=trial.tools)
        try:
            return self.chat.row(row)
        except Inconsistent:
            turns = self.chat.turns(row)
            ids, supervised = (
                [part for turn in turns for part in getattr(turn, name)] for name in ("ids", "supervised")
            )
            return SupervisedTokens(tuple(ids), tuple(supervised))

    def text(self, messages: Sequence[dict[str, Any]], tools: Sequence[Any] = (), header: bool = False) -> str:
        """Return a rendering, or nothing where the template refuses it."""
        try:
            return str(self._apply(messages, tools, tokenize=False, add_generation_prompt=header))
        except Unrenderable:
            return ""

    def has_text(self, messages: Sequence[dict[str, Any]]) -> bool:
        """Tell whether the template writes the text of a user's message."""
        return _ASKED in self.text([message for message in messages if message["role"] == "user"][:1])

    def header(self) -> str:
        """Return the header of an assistant's turn, without the white space around it."""
        asked = _EXCHANGE[:1] if self.has_text(_EXCHANGE) else [_in_parts(_EXCHANGE[0])]
        without, prompt = (self.text(asked, header=header) for header in (False, True))
        return prompt.removeprefix(without).strip() if prompt.startswith(without) else ""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens included."""
        return str(self.chat.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def _apply(self, messages: Sequence[dict[str, Any]], tools: Sequence[Any], **options: Any) -> Any:
        from jinja2 import TemplateError

        options = {"chat_template": self.template, "tools": list(tools) or None, **options}
        try:
            return self.chat.tokenizer.apply_chat_template(list(messages), **options)
        except (TemplateError, KeyError, TypeError, ValueError) as error:
            raise Unrenderable(" ".join(str(error).split())) from error


def without_model(template: str, args: Mapping[str, Any]) -> MaskedTemplate:
    """Return a template, by name or path, with a stand-in tokenizer; the first special token behind an answer ends it.

    Raises:
        SettingsError: no such template.
    """
    tokenizer = stand_in_tokenizer(read_template(stand_in_tokenizer(""), template))
    alone = MaskedTemplate(Chat(tokenizer, (), template, args))
    exchange = _EXCHANGE if alone.has_text(_EXCHANGE) else list(map(_in_parts, _EXCHANGE))
    ids = tokenizer(alone.text(exchange).partition(_FIRST)[2], add_special_tokens=False)["input_ids"]
    return MaskedTemplate(Chat(tokenizer, [i for i in ids if i in tokenizer.added_tokens_decoder][:1], template, args))


def try_masks(masked: MaskedTemplate, supervise: Supervise) -> list[TrialMask]:
    """Supervise each trial conversation, and say what is wrong with the mask."""
    return [_try_mask(masked, trial, supervise) for trial in TRIALS]


def _try_mask(masked: MaskedTemplate, trial: Trial, supervise: Supervise) -> TrialMask:
    if trial.needs and not any(name in masked.template for name in trial.needs):
        return TrialMask(trial, (), (), f"the template has no {trial.needs[0].replace('_', ' ')}")
    if not masked.has_text(trial.messages) and masked.has_text(parts := list(map(_in_parts, trial.messages))):
        trial = trial._replace(messages=parts)
    try:
        tokens = masked.tokens(trial, supervise)
    except Unrenderable as error:
        return TrialMask(trial, (), (), f"the template refuses {trial.name}: {error}")
    faults = [*_faults_of_rendering(masked, trial, tokens)] if supervise != "tune" else []  # tune refuses such rows
    return TrialMask(trial, _stretches(masked, tokens), (*faults, *_faults(masked, tokens)))


def _in_parts(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with its content as a list of parts, as templates for pictures take it."""
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def _as_message(message: Mapping[str, Any]) -> Message:
    return Message(
        message["role"],
        _content(message),
        tuple(message.get("tool_calls", ())),
        tool_call_id=message.get("tool_call_id"),
        name=message.get("name"),
        thinking=message.get("reasoning_content"),
    )


def _content(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


def _stretches(masked: MaskedTemplate, tokens: SupervisedTokens) -> tuple[Stretch, ...]:
    pairs = zip(tokens.ids, tokens.supervised, strict=True)
    runs = [([i for i, _ in run], is_supervised) for is_supervised, run in groupby(pairs, lambda pair: pair[1])]
    return tuple(Stretch(masked.decode(ids), is_supervised, len(ids)) for ids, is_supervised in runs)


def _faults(masked: MaskedTemplate, tokens: SupervisedTokens) -> Iterator[str]:
    """Yield the names of what is wrong with a trial's mask."""
    supervised = [stretch.text for stretch in _stretches(masked, tokens) if stretch.is_supervised]
    if not supervised:
        yield "nothing_supervised"
        return
    for words, fault in (((_SYSTEM,), "system"), ((_ASKED, _AGAIN), "user"), ((_REPLY,), "tool_reply")):
        if any(word in text for word in words for text in supervised):
            yield f"{fault}_supervised"
    header, rendering = masked.header(), masked.decode(tokens.ids)
    if header and any(header in text and not _has_answer(text.partition(header)[0]) for text in supervised):
        yield "header_supervised"
    is_trained = any(_LAST in text for text in supervised)
    if not is_trained and _LAST in rendering:
        yield "answer_not_supervised"
    for word, fault in ((_FIRST, "earlier_turn"), (_THOUGHT, "thinking"), (_TOOL, "call")):
        if is_trained and word in rendering and not any(word in text for text in supervised):
            yield f"{fault}_not_supervised"
    if is_trained:
        yield from _faults_of_end(masked, tokens)


def _has_answer(text: str) -> bool:
    """Tell whether a text has words of an assistant's turn: a header behind them is the model's own (gpt-oss)."""
    return any(word in text for word in (_FIRST, _LAST, _THOUGHT, _TOOL))


def _faults_of_rendering(masked: MaskedTemplate, trial: Trial, tokens: SupervisedTokens) -> Iterator[str]:
    """Yield what is left out, and what is wrong with prompt, beginning and end, whatever is supervised."""
    rendering = masked.decode(tokens.ids)
    for message in trial.messages:
        role = {"assistant": "answer", "tool": "tool_reply"}.get(message["role"], message["role"])
        if _content(message) not in rendering:
            yield f"{role}_dropped"
        if message.get("reasoning_content", "") not in rendering:
            yield "thinking_dropped"
        if "tool_calls" in message and _TOOL not in rendering:
            yield "call_dropped"
    if not rendering.startswith(masked.text(trial.messages[:-1], trial.tools, header=True).rstrip()):
        yield "prompt_not_prefix"
    if _FIRST in rendering and not rendering.startswith(_up_to_end(masked, masked.text(trial.messages[:2]))):
        yield "earlier_turn_differs"
    bos = masked.chat.tokenizer.bos_token_id
    if bos is not None and tokens.ids[:2] == (bos, bos):
        yield "double_bos"
    if _LAST in rendering and not _end_of_turn(masked, tokens.ids):
        yield "no_end_of_turn"


def _up_to_end(masked: MaskedTemplate, text: str) -> str:
    """Return a rendering of one exchange up to the token that ends its turn."""
    before, answer, behind = text.partition(_FIRST)
    stops = [masked.decode([i]) for i in masked.chat.stop_ids]
    ends = [place + len(stop) for stop in stops if (place := behind.find(stop)) >= 0]
    return before + answer + behind[: min(ends, default=0)]


def _faults_of_end(masked: MaskedTemplate, tokens: SupervisedTokens) -> Iterator[str]:
    """Yield what is wrong with the mask behind the last answer."""
    end = _end_of_turn(masked, tokens.ids)
    if end and not tokens.supervised[end]:
        yield "end_not_supervised"
    special = masked.chat.tokenizer.added_tokens_decoder  # a turn may end in several
    pairs = zip(tokens.ids[end + 1 :], tokens.supervised[end + 1 :], strict=True)
    behind = [i for i, is_supervised in pairs if is_supervised and i not in special]
    if end and masked.decode(behind).strip():
        yield "trailing_supervised"


def _end_of_turn(masked: MaskedTemplate, ids: Sequence[int]) -> int:
    """Return the place of the first token behind the last answer that the model stops at; 0 where there is none."""
    answer = max(place for place in range(len(ids)) if _LAST in masked.decode(ids[place:]))
    return next((place for place in range(answer, len(ids)) if ids[place] in masked.chat.stop_ids), 0)
