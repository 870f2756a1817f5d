"""Reworded prompts on their way to a model: one at a time, in a thread, while the pages go on."""

from __future__ import annotations

from collections import Counter
from queue import SimpleQueue
from threading import Lock, Thread

from tunescope.annotations.asked_prompts import AskedPrompt, AskedPrompts
from tunescope.errors import QueueFull, TunescopeError, WorkError
from tunescope.progress import say
from tunescope.verbs.annotate.answerers import Answerer
from tunescope.views import counted

_MOST_WAITING = 3
"""Prompts of one annotator that may wait at a time."""
LONGEST_PROMPT = 4_000
"""Characters of a prompt that is put to a model."""
_LAST_SECONDS = 5.0
"""Seconds that the prompt under way has to come back when the study ends; the next time it is asked again."""


class PromptQueue:
    """Puts prompts to a model one after the other; used as `with PromptQueue(…) as queue`.

    What has no answer yet when the study ends is asked again the next time that it is served with a model.
    """

    def __init__(self, prompts: AskedPrompts, answerer: Answerer) -> None:
        """Take up the prompts that wait from an earlier time."""
        self.model = answerer.name
        self._prompts, self._answerer = prompts, answerer
        self._queue: SimpleQueue[AskedPrompt | None] = SimpleQueue()
        self._lock = Lock()
        self._waiting: list[AskedPrompt] = []
        self._is_closed = False
        self._thread = Thread(target=self._work, daemon=True)
        for asked in prompts.waiting():
            self._put(asked)

    def __enter__(self) -> PromptQueue:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Answer no more."""
        with self._lock:
            self._is_closed = True
        self._queue.put(None)
        self._thread.join(_LAST_SECONDS)

    def ask(self, asked: AskedPrompt) -> None:
        """Keep a prompt and let it wait; the same one sent again waits once.

        Raises:
            QueueFull: so many of the annotator's wait that no more are taken.
            MarkConflict, WorkError: as `AskedPrompts.add`.
        """
        with self._lock:
            if any(each.try_id == asked.try_id for each in self._waiting):
                return
            n_waiting = Counter(each.annotator for each in self._waiting)[asked.annotator]
            if n_waiting >= _MOST_WAITING:
                raise QueueFull(
                    f"{counted(n_waiting, 'question')} of yours wait for the model; wait until one is answered"
                )
            self._prompts.add(asked)
            known = self._prompts.of(asked.item_id, asked.annotator)
            if any(each.try_id == asked.try_id and each.is_waiting for each in known):
                self._put(asked)

    def before(self, try_id: str) -> int | None:
        """Return how many prompts are answered before one that waits; None for one that doesn't."""
        with self._lock:
            places = [place for place, each in enumerate(self._waiting) if each.try_id == try_id]
        return places[0] if places else None

    def _put(self, asked: AskedPrompt) -> None:
        self._waiting.append(asked)
        self._queue.put(asked)

    def _work(self) -> None:
        while (asked := self._queue.get()) is not None and not self._is_closed:
            try:
                answered = asked._replace(model=self.model, answer=self._answerer.answer(asked.prompt))
            except TunescopeError as error:
                answered = asked._replace(model=self.model, failure=str(error))
            except Exception as error:  # noqa: BLE001 - also a library's; the next prompt goes on
                answered = asked._replace(model=self.model, failure=f"{type(error).__name__}: {error}")
            with self._lock:
                if self._is_closed:
                    return
                try:
                    self._prompts.keep(answered)
                except WorkError as error:
                    say(str(error))
                self._waiting.remove(asked)
