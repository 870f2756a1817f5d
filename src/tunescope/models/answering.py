"""A model loaded here that answers conversations, with the chat template that its settings name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope.chat import Chat, Unrenderable, parse_template_args
from tunescope.models.generate import Generated, KnownWays, context_of, split_generated, stop_ids, stream
from tunescope.models.lazy import silence_libraries
from tunescope.models.load import load
from tunescope.models.settings import ModelSettings
from tunescope.oracle.replies import Reply
from tunescope.progress import say

if TYPE_CHECKING:
    from tunescope.rows import Message


class LoadedAnswerer(NamedTuple):
    """A model that can answer.

    Attributes:
        context: how many tokens it can hold; None where it doesn't say.
        known_ways: how it continues texts, once it was probed.
    """

    model: Any
    tokenizer: Any
    chat: Chat
    context: int | None
    known_ways: KnownWays

    @classmethod
    def load(cls, settings: ModelSettings) -> LoadedAnswerer:
        """Load it, and say in which number format and where.

        Raises:
            As `models.load`; SettingsError: a template that can't be used.
        """
        arguments = parse_template_args(settings.template_arg)
        loaded = load(settings)
        say(f"{settings.model}: {loaded.dtype} on {loaded.device}")
        stops = stop_ids(loaded.model, loaded.tokenizer)
        chat = Chat(loaded.tokenizer, stops, settings.template, arguments)
        return cls(loaded.model, loaded.tokenizer, chat, context_of(loaded.model), {})

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Any] = (), fields: Mapping[str, Any] | None = None
    ) -> tuple[int, ...]:
        """Return the token ids that the model continues.

        Raises:
            Unrenderable: the template refuses the conversation, or it leaves no room for an answer.
        """
        ids = self.chat.prompt(messages, tools, fields)
        if self.context is not None and len(ids) >= self.context:
            raise Unrenderable(f"{len(ids):,} tokens; the model's context holds {self.context:,} with the answer")
        return ids

    def reply(self, prompt: Sequence[int], generated: Generated) -> Reply:
        """Return what `stream` generated behind a prompt: its text without thoughts, how it ended, its tokens."""
        text, thinking = split_generated(self.tokenizer, prompt, generated)
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(generated.token_ids)}
        return Reply(text, generated.finish_reason, usage, thinking)

    def answer(self, messages: Sequence[Message], max_new_tokens: int) -> Reply:
        """Answer one conversation greedily.

        Raises:
            Unrenderable: as `prompt`.
            TunescopeError: the model can't be run on token ids alone.
        """
        prompt = self.prompt(messages)
        with silence_libraries():
            streamed = stream(self.model, self.tokenizer, [prompt], max_new_tokens, 1, known_ways=self.known_ways)
            ((_, generated),) = streamed
        return self.reply(prompt, generated)
