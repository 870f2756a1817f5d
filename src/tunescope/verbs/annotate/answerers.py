"""Who answers reworded prompts while a study is served: a model loaded here, or a server."""

from __future__ import annotations

import asyncio
from typing import Protocol

from tunescope.errors import ItemFailed, TunescopeError
from tunescope.models.settings import ModelSettings
from tunescope.oracle.replies import Reply
from tunescope.rows import Message


class Answerer(Protocol):
    """Answers one prompt after the other, greedily.

    Attributes:
        name: what marks and exports call it.
    """

    name: str

    def answer(self, prompt: str) -> str:
        """Return the answer; raises `TunescopeError`, which says why there is none."""


class LoadedModel:
    """A model loaded here, which answers as `answer` has it answer: the same template, greedily."""

    def __init__(self, settings: ModelSettings, max_new_tokens: int) -> None:
        """Load it, and leave one core to the pages; raises as `models.load`."""
        from tunescope.models.answering import LoadedAnswerer
        from tunescope.models.lazy import require

        torch = require("torch")
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))
        self.name, self._max_new_tokens = settings.model, max_new_tokens
        self._model = LoadedAnswerer.load(settings)

    def answer(self, prompt: str) -> str:
        """Return the answer; raises `TunescopeError`, which says why there is none."""
        from tunescope.chat import Unrenderable

        try:
            reply = self._model.answer((Message("user", prompt),), self._max_new_tokens)
        except Unrenderable as error:
            raise TunescopeError(str(error)) from error
        return _text(reply)


class ServedModel:
    """A model behind an OpenAI-compatible server, asked as `answer --model URL` asks it."""

    def __init__(self, url: str, served_model: str | None, max_new_tokens: int, timeout: float) -> None:
        """Find out the model's name; raises as `oracle.connect.served_model`."""
        from tunescope.oracle.connect import served_model as find_model

        self._url, self._timeout = url, timeout
        self._decoding = {"max_tokens": max_new_tokens, "temperature": 0}
        self.name = find_model(url, served_model, timeout)

    def answer(self, prompt: str) -> str:
        """Return the answer; raises `TunescopeError`, which says why there is none."""
        from tunescope.oracle.caller import Caller
        from tunescope.oracle.calls import Calls
        from tunescope.oracle.client import Client
        from tunescope.oracle.request import ChatRequest

        async def ask() -> Reply:
            client = Client(self._url, self.name, self._timeout)
            caller = Caller(self.name, client, self._decoding, 1, self._timeout, extra_retries=0)
            async with client:
                request = ChatRequest.of(({"role": "user", "content": prompt},), {})
                parsed = await Calls(caller).ask(request)
            if parsed.status == "unparsed":  # a text that no file can hold
                raise TunescopeError(parsed.problem)
            return parsed.reply

        try:
            return _text(asyncio.run(ask()))
        except ItemFailed as error:
            raise TunescopeError(str(error.__cause__ or error)) from error


def _text(reply: Reply) -> str:
    if not reply.is_answer:
        raise TunescopeError(reply.describe_ending())
    return reply.text
