"""The answers of a run and what has none, each on disk as soon as it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from tunescope.answers import Answer, Place, RecordLog
from tunescope.oracle.replies import Reply
from tunescope.progress import Update, progress, say
from tunescope.prompts import Prompt
from tunescope.verbs.answer.settings import AnswerSettings


class _Missing(NamedTuple):
    """Why there is no answer, and whether it is open: there may be one when it is asked for again."""

    reason: str
    open: bool = False


class AnswerBook:
    """The answers of a run or a shard and what has none, each kept in a folder as soon as it is there.

    As `with AnswerBook(…) as book` it also shows how far it is.
    """

    def __init__(
        self,
        settings: AnswerSettings,
        model: str,
        prompts: Sequence[Prompt],
        folder: Path,
        known: Sequence[Answer] = (),
    ) -> None:
        self.settings, self.model, self.prompts = settings, model, prompts
        self._log = RecordLog(folder / "answers.jsonl")
        self._settled_log = RecordLog(folder / "settled.jsonl")
        self.answers = {a.place: a for a in (*known, *map(Answer.from_json, self._log))}
        settled = () if settings.again else self._settled_log
        missing = {Place(*record["place"]): _Missing(record["reason"]) for record in settled}
        self.missing = {place: why for place, why in missing.items() if place not in self.answers}
        self._progress = progress("answers", sum(1 for _ in self.places))
        self._update: Update | None = None
        self._start, self._n_new, self._n_tokens = monotonic(), 0, 0

    def __enter__(self) -> AnswerBook:
        if self.answers:
            say(f"{len(self.answers):,} answers are here already")
        self._update = self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Close the files and say how fast it went."""
        self._progress.__exit__(*error)
        self.close()
        if self._n_new:
            seconds = monotonic() - self._start
            say(f"{self._n_new:,} answers, {self._n_tokens:,} tokens in {seconds:.1f} s: {self._rate()}")

    def close(self) -> None:
        """Close the files."""
        self._log.close()
        self._settled_log.close()

    def take(self, shard: AnswerBook) -> None:
        """Take what the book of a finished shard has, and close it."""
        self.answers |= shard.answers
        self.missing |= shard.missing
        shard.close()

    def answers_to(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Return what is there of the answers to some prompts."""
        wanted = {prompt.prompt_id for prompt in prompts}
        return [made for place, made in self.answers.items() if place.prompt_id in wanted]

    @property
    def is_done(self) -> bool:
        """Whether nothing can be asked any more: an answer or a reason is there for each place."""
        left = (place for _, place in self.places if place not in self.answers and place not in self.missing)
        return all(self.before(place) is None for place in left)

    @property
    def places(self) -> Iterator[tuple[Prompt, Place]]:
        """All answers there should be, in the order in which they are written."""
        for prompt in self.prompts:
            for sample in range(self.settings.n):
                for turn in range(prompt.turns):
                    yield prompt, Place(prompt.prompt_id, turn, sample)

    def before(self, place: Place) -> list[str] | None:
        """Return the answers of earlier turns; None, and this one is missing, where one of them is."""
        earlier = [Place(place.prompt_id, turn, place.sample) for turn in range(place.turn)]
        texts = [self.answers[each].text for each in earlier if each in self.answers]
        if len(texts) == place.turn:
            return texts
        first = self.missing.get(Place(place.prompt_id, len(texts), place.sample))
        self.missing[place] = _Missing(f"turn {len(texts)} before it has no answer", first is not None and first.open)
        return None

    def open_conversations(self) -> dict[tuple[str, int], list[tuple[Prompt, Place]]]:
        """Return the turns without an answer, by prompt and sample: one worker asks them one after the other."""
        turns: dict[tuple[str, int], list[tuple[Prompt, Place]]] = {}
        for prompt, place in self.places:
            if place not in self.answers and place not in self.missing:
                turns.setdefault((place.prompt_id, place.sample), []).append((prompt, place))
        return turns

    def keep(self, prompt: Prompt, place: Place, reply: Reply, before: Sequence[str], **known: Any) -> None:
        """Keep an answer on disk; of a reply that is none, why."""
        if not reply.is_answer:
            self.miss(place, reply.describe_ending())
            return
        settings = self.settings
        known |= {"finish_reason": reply.finish_reason, "usage": reply.usage, "thinking": reply.thinking}
        decoding: dict[str, Any] = {"method": "greedy", "max_new_tokens": settings.max_new_tokens}
        if settings.temperature is not None:
            top_p = 1.0 if settings.top_p is None else settings.top_p
            decoding |= {
                "method": "sampled",
                "temperature": settings.temperature,
                "top_p": top_p,
                "seed": settings.seed,
            }
        made = Answer.to(prompt, reply.text, self.model, before, place.sample, decoding=decoding, **known)
        self._log.add(made.as_json())
        self.answers[place] = made
        self._n_new += 1
        self._n_tokens += (made.usage or {}).get("completion_tokens", 0)
        self._show()

    def miss(self, place: Place, reason: str, is_for_good: bool = True) -> None:
        """Note why there is no answer; on disk where there would be none each time."""
        self.missing[place] = _Missing(reason, not is_for_good)
        if is_for_good:
            self._settled_log.add({"place": place, "reason": reason})
        self._show()

    def _show(self) -> None:
        if self._update is not None:
            self._update(len(self.answers) + len(self.missing), self._rate)

    def _rate(self) -> str:
        return f"{self._n_tokens / max(monotonic() - self._start, 1e-9):,.0f} tokens/s"

    def start(self) -> None:
        """Begin to count time."""
        self._start = monotonic()
