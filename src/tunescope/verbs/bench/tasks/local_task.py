"""A task of lm-eval over documents that are already here: no hub, no data set script, no YAML of lm-eval's."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, Literal

from jinja2 import Template, TemplateError
from lm_eval.api.samplers import ContextSampler
from lm_eval.api.task import ConfigurableTask
from lm_eval.utils import env

from tunescope.errors import InputError, Problem, SettingsError
from tunescope.questions.bench_task import BenchTask
from tunescope.questions.documents import Doc, Split
from tunescope.verbs.bench.tasks.scores import SCORES

Exemplars = Literal["parity", "fixed"]
_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")


@dataclass(frozen=True)
class Room:
    """How much a model reads: how many tokens a text is, its start token included, and how many fit."""

    count_tokens: Callable[[str], int]
    max_length: int


@dataclass
class Cuts:
    """What was left out so that prompts fit into the context.

    Attributes:
        exemplars: exemplars left out, over all prompts.
        prompts: prompts that have fewer exemplars than wanted, or are too long even without.
        too_long: prompts too long even without exemplars; lm-eval cuts off their beginning.
    """

    exemplars: int = 0
    prompts: int = 0
    too_long: int = 0


class _Docs(list[Doc]):
    """Documents as lm-eval wants them: a list that knows its columns. A `datasets.Dataset` takes 80 ms to make."""

    @property
    def features(self) -> Doc:
        """The first document, for the names of its columns."""
        return self[0]


class _FixedSampler(ContextSampler):
    """The same exemplars before every question: the first of an order that the seed decides."""

    def set_rnd(self, rnd: int | None) -> _FixedSampler:
        """Shuffle by a new seed."""
        super().set_rnd(rnd)
        self._order = list(self.df)
        self.rnd.shuffle(self._order)
        return self

    def sample(self, n: int, eval_doc: Doc | None = None, df: Any = None, **_: Any) -> list[Doc]:
        """Return the first n; a question that is itself among them gets the next one instead."""
        return list(islice((doc for doc in self._order if doc != eval_doc), n))


class _OneDraw:
    """Gives the exemplars of one draw, as many of them as are asked for."""

    def __init__(self, sampler: ContextSampler) -> None:
        self._sampler = sampler
        self._drawn: Sequence[Doc] | None = None

    def sample(self, n: int, eval_doc: Doc | None = None) -> Sequence[Doc]:
        if self._drawn is None:
            self._drawn = self._sampler.sample(n=n, eval_doc=eval_doc)
        return self._drawn[:n]


class LocalTask(ConfigurableTask):
    """A task over documents in memory, for `lm_eval.simple_evaluate(tasks=[…])`.

    Attributes:
        cuts: what didn't fit into the context, counted while lm-eval builds the prompts.
    """

    cuts: Cuts

    def __init__(
        self,
        task: BenchTask,
        splits: Mapping[str, Split],
        *,
        name: str,
        shots: int,
        exemplars: Exemplars = "parity",
        room: Room | None = None,
    ) -> None:
        """Make lm-eval's task `name`.

        Raises:
            InputError: answers that aren't among the choices, with file and line.
            SettingsError: fewer exemplars than `shots`.
        """
        self.bench_task = task
        self.cuts = Cuts()
        self._local_splits = splits
        self._room = room
        super().__init__(config=_config(task, splits, name, shots, exemplars))
        self.sampler: Any
        pool = len(self.sampler.df) - (self.fewshot_cfg.split == self.config.test_split)  # lm-eval draws one more there
        if shots > pool:
            raise SettingsError(
                f"{name} has {pool} exemplars for a question, and {shots} are wanted; type: --shots {pool}"
            )

    def download(self, dataset_kwargs: Any = None, **_: Any) -> None:
        """Take the documents that are here, where lm-eval would ask the hub, and look at the answer of each."""
        self.dataset = {name: _Docs(split.docs) for name, split in self._local_splits.items()}
        self.features = list(next(iter(self.dataset.values())).features)
        problems = [
            problem
            for split in self._local_splits.values()
            for doc, place in zip(split.docs, split.places, strict=True)
            if (problem := self._problem(doc, place)) is not None
        ]
        if problems:
            raise InputError(problems)

    # As lm-eval does, which compiles the template anew for each exemplar of each prompt (1.5 ms each).

    def doc_to_text(self, doc: Doc, doc_to_text: str | None = None) -> str | int:
        """Return the question, or the number of the gold choice where each choice makes a context."""
        value: str | int = self._value(doc, self.config.doc_to_text)
        return value

    def doc_to_target(self, doc: Doc, doc_to_target: str | None = None) -> str | int:
        """Return the number of the gold choice, or the text that is expected."""
        value: str | int = self._value(doc, self.config.doc_to_target)
        return value

    def doc_to_choice(self, doc: Doc, doc_to_choice: Any = None) -> list[str]:
        """Return the choices."""
        said = self.config.doc_to_choice
        if isinstance(said, list):
            return said
        choices: list[str] = doc[said] if said in self.features else literal_eval(_compiled(said).render(**doc))
        return choices

    def _value(self, doc: Doc, said: str) -> Any:
        if said in self.features:
            return doc[said]
        text = _compiled(said).render(**doc)
        return int(text) if text.isdigit() and self.config.doc_to_choice is not None else text

    def _problem(self, doc: Doc, place: Any) -> Problem | None:
        """Say what is wrong with a document's answer."""
        try:
            choices = self.doc_to_choice(doc) if self.config.doc_to_choice is not None else None
            text, target = self.doc_to_text(doc), self.doc_to_target(doc)
        except (TemplateError, ValueError, KeyError, IndexError, TypeError, SyntaxError) as error:
            return Problem.at(place, f"a question without a usable answer ({error})", "an answer among the choices")
        if choices is None:
            return None
        gold = text if isinstance(text, int) else target
        if not (isinstance(gold, int) and 0 <= gold < len(choices)):
            return Problem.at(place, f"the answer {gold!r}", f"one of the {len(choices)} choices")
        if not all(isinstance(choice, str) for choice in choices):
            return Problem.at(place, f"the choices {choices!r}", "texts")
        return None

    def fewshot_context(self, doc: Doc, num_fewshot: int, **how: Any) -> Any:
        """Return the prompt, without its last exemplars, one by one, where it is too long for the model."""
        if self._room is None:
            return super().fewshot_context(doc, num_fewshot=num_fewshot, **how)
        sampler, self.sampler = self.sampler, _OneDraw(self.sampler)
        try:
            for shots in range(num_fewshot, -1, -1):
                context = super().fewshot_context(doc, num_fewshot=shots, **how)
                if fits := self._fits(doc, context, self._room):
                    break
        finally:
            self.sampler = sampler
        self.cuts.exemplars += num_fewshot - shots
        self.cuts.prompts += shots < num_fewshot or not fits
        self.cuts.too_long += not fits
        return context

    def _fits(self, doc: Doc, context: str | list[str], room: Room) -> bool:
        if self.OUTPUT_TYPE == "generate_until":
            reply_length: int = self.config.generation_kwargs["max_gen_toks"]
            return room.count_tokens(str(context)) + reply_length <= room.max_length
        contexts = context if isinstance(context, list) else [context]
        choices = self.doc_to_choice(doc) if isinstance(context, str) and self.config.doc_to_choice else None
        endings = choices or [str(self.doc_to_target(doc))]
        whole = (begin + self.config.target_delimiter + end for begin in contexts for end in endings)
        return all(room.count_tokens(text) - 1 <= room.max_length for text in whole)  # the last token is only predicted

    def chance(self, limit: int | None = None) -> float | None:
        """Return the expected score of guessing; None where there is nothing to guess among."""
        if self.config.doc_to_choice is None:
            return None
        docs = list(islice(self.eval_docs, limit))
        return sum(self._chance_of(doc) for doc in docs) / len(docs)

    def _chance_of(self, doc: Doc) -> float:
        if self.bench_task.score == "true_mass":
            labels = doc["mc2_targets"]["labels"]
            return float(sum(labels) / len(labels))
        return 1 / len(self.doc_to_choice(doc))


@cache
def _compiled(template: str) -> Template:
    compiled: Template = env.from_string(template)
    return compiled


def _config(
    task: BenchTask, splits: Mapping[str, Split], name: str, shots: int, exemplars: Exemplars
) -> dict[str, Any]:
    config = dict(task.config) | {"task": name, "num_fewshot": shots, "metadata": {"version": 1.0, "local": True}}
    for kind in _SPLITS:
        if config.get(kind) not in splits:
            config.pop(kind, None)
    if shots and not {"training_split", "validation_split", "fewshot_split"} & config.keys():
        config["fewshot_split"] = config["test_split"]  # only so does lm-eval leave the question itself out
    if exemplars == "fixed" and "fewshot_config" not in config:
        config["fewshot_config"] = {"sampler": _FixedSampler}
    if task.score is not None:
        config["process_results"] = SCORES[task.score]
    return config
