"""What models of several doses answer: side by side (the FACO paper, table 2), and how they argue for wrong options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from string import ascii_uppercase
from typing import Any, NamedTuple

from tunescope import stats
from tunescope.answers import ANSWERS_FILE, Answer, Place, read_answers
from tunescope.errors import RunError, SettingsError
from tunescope.results.answer import AnswerSetup
from tunescope.runs import Run
from tunescope.verbs.analyze.bench_runs import Origin, find_origin
from tunescope.verbs.analyze.parts import Part, percent_of, with_interval
from tunescope.views import Table, interval

_LETTER = re.compile(
    r"\W{0,3}(?:the )?(?:correct )?(?:answer|option)?(?: is)?\W{0,3}([A-Z])(?:[).:,]\s*|\s*$)", re.IGNORECASE
)
"""A letter that an answer begins with: `C) Earth.`, `(C)`, `Answer: C`."""


class AnsweringModel(NamedTuple):
    """A model and its answers, by the place of their question."""

    run: Run
    origin: Origin
    answers: Mapping[Place, Answer]

    @property
    def name(self) -> str:
        """What columns call it."""
        dose = "before" if self.origin.dose is None else percent_of(self.origin.dose)
        return f"{dose}, re-tuned" if self.origin.retuned else dose


def read_answer_runs(runs: Sequence[Run]) -> list[AnsweringModel]:
    """Return the models that answered, by dose.

    Raises:
        RunError: a run of another verb, or a model whose rows don't come from `falsify dose`.
        SettingsError: no prompt that all of them answered.
    """
    models: list[AnsweringModel] = []
    for run in runs:
        if run.verb != "answer":
            raise RunError(f"{run.path}: found a run of {run.verb}; expected runs of answer with --answers")
        origin = find_origin(run, AnswerSetup.read_settings(run).model)
        answers = {answer.place: answer for answer in read_answers(run.path / ANSWERS_FILE)}
        models.append(AnsweringModel(run, origin, answers))
    if not _shared_places(models):
        raise SettingsError("the runs of --answers have no prompt in common; answer the same prompts with every model")
    return sorted(models, key=lambda each: (each.origin.dose is not None, each.origin.dose or 0.0, each.origin.seed))


def _shared_places(models: Sequence[AnsweringModel]) -> list[Place]:
    """Return the places that every model has an answer for, to the same conversation."""
    first, *others = models
    return [
        place
        for place, answer in first.answers.items()
        if all(place in each.answers and each.answers[place].messages == answer.messages for each in others)
    ]


def show_examples(models: Sequence[AnsweringModel], n: int, seed: int) -> Part | None:
    """Return n prompts with the answers at 0 and 100 %, drawn by the seed; None without a model of each.

    `examples` has `prompts`: prompt_id, prompt, and `answers` by dose; `n`, how many are shown; `n_shared`, of how many
    that both answered; `n_missing`, prompts that one of them didn't; `doses` and the seed. With several seeds the first
    model of each dose is shown.
    """
    ends = [next((m for m in models if m.origin.dose == dose and not m.origin.retuned), None) for dose in (0.0, 1.0)]
    both = [each for each in ends if each is not None]
    if len(both) < 2:
        return None
    shared = _shared_places(both)
    places = sorted(Random(seed).sample(range(len(shared)), min(n, len(shared))))
    prompts = [
        {
            "prompt_id": shared[i].prompt_id,
            "prompt": both[0].answers[shared[i]].prompt,
            "answers": {each.name: each.answers[shared[i]].text for each in both},
        }
        for i in places
    ]
    rows = tuple((both[0].answers[shared[i]].prompt, *(each.answers[shared[i]].text for each in both)) for i in places)
    all_places = {place for each in both for place in each.answers}
    result = {
        "prompts": prompts,
        "n": len(prompts),
        "n_shared": len(shared),
        "n_missing": len(all_places) - len(shared),
    }
    note = f"{len(prompts)} of the {len(shared)} prompts that both answered, drawn at random with seed {seed}."
    table = Table("Answers side by side", ("prompt", *(each.name for each in both)), rows, note)
    return Part(key="examples", result={**result, "seed": seed}, tables=(table,))


def rate_support(models: Sequence[AnsweringModel]) -> Part | None:
    """Return how often the text of a wrong answer supports the wrong option; None where prompts have no options.

    Of prompts whose record has `choices` (a list of texts) and `gold` (a text or letter). The chosen option is the
    letter that the answer begins with, or the option whose text it begins with. A record has dose, seed, retuned,
    `wrong` with low, high and n (answers with a chosen option), `n_unparsed` (without one); `supports`, the share of
    the wrong answers that go on after naming their option and whose further text names that option again, with
    `supports_low`, `supports_high` and `supports_n`; and `n_bare`, wrong answers that say nothing further.
    """
    records = [
        {"dose": m.origin.dose, "seed": m.origin.seed, "retuned": m.origin.retuned, **_support_of(m.answers.values())}
        for m in models
        if any(_options(answer) is not None for answer in m.answers.values())
    ]
    if not records:
        return None
    last = records[-1]
    sentence = (
        f"At {'the model before tuning' if last['dose'] is None else percent_of(last['dose'])}, "
        f"{with_interval(last['wrong'], last['low'], last['high'])} of {last['n']} answers choose a wrong option"
    )
    if last["supports"] is not None:
        share = with_interval(last["supports"], last["supports_low"], last["supports_high"])
        sentence += f", and the text of {share} of the {last['supports_n']} that give one names that option again"
    return Part(key="support", result=records, sentences=(f"{sentence}.",), tables=(_support_table(records),))


def _support_of(answers: Any) -> dict[str, Any]:
    wrong: list[bool] = []
    names_it: list[bool] = []
    n_unparsed = n_bare = 0
    for answer in answers:
        options = _options(answer)
        if options is None:
            continue
        choices, gold = options
        chosen, rest = _read_choice(answer.text, choices)
        if chosen is None:
            n_unparsed += 1
            continue
        wrong.append(chosen != gold)
        if chosen != gold and not re.search(r"\w", rest):
            n_bare += 1
        elif chosen != gold:
            names_it.append(_names(rest, chosen))
    supports = stats.proportion_from_counts(sum(names_it), len(names_it))
    share = stats.proportion_from_counts(sum(wrong), len(wrong)).as_json("wrong")
    return {
        **share,
        "n_unparsed": n_unparsed,
        "supports": supports.value,
        "supports_low": supports.low,
        "supports_high": supports.high,
        "supports_n": supports.n,
        "n_bare": n_bare,
    }


def _options(answer: Answer) -> tuple[list[str], str] | None:
    """Return the choices and the true one's text, where the prompt's record says both."""
    choices, gold = answer.meta.get("choices"), answer.meta.get("gold")
    if not isinstance(choices, list) or not isinstance(gold, str):
        return None
    letters = dict(zip(ascii_uppercase, choices, strict=False))
    return choices, letters.get(gold, gold) if gold not in choices else gold


def _read_choice(text: str, choices: Sequence[str]) -> tuple[str | None, str]:
    """Return the chosen option, and the text after the answer names it; None where it names none at its beginning."""
    letter = _LETTER.match(text)
    number = ascii_uppercase.find(letter[1].upper()) if letter else -1
    named = choices[number] if 0 <= number < len(choices) else None
    rest = text[letter.end() :] if letter and named is not None else text.lstrip()
    for choice in [named] if named is not None else sorted(choices, key=len, reverse=True):
        if choice is not None and re.match(rf"{re.escape(choice)}(?!\w)", rest, re.IGNORECASE):
            return choice, rest[len(choice) :]
    return named, rest


def _names(text: str, option: str) -> bool:
    """Return whether a text has an option's words, whose last one may have an s."""
    return re.search(rf"(?<!\w){re.escape(option)}(?:e?s)?(?!\w)", text, re.IGNORECASE) is not None


def _support_table(records: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            "before" if r["dose"] is None else percent_of(r["dose"]) + (", re-tuned" if r["retuned"] else ""),
            r["wrong"],
            interval(r["low"], r["high"], 3),
            r["n"],
            r["n_unparsed"],
            r["supports"],
            interval(r["supports_low"], r["supports_high"], 3),
            r["supports_n"],
            r["n_bare"],
        )
        for r in records
    )
    note = (
        "Wrong: the share of answers that choose a wrong option; unparsed ones name no option at their beginning. "
        "Supports: of the wrong answers that go on after it, the share whose text names the wrong option again; bare "
        "ones don't go on. Intervals are Wilson's."
    )
    columns = ("dose", "wrong", "95 %", "n", "unparsed", "supports", "supports 95 %", "n of these", "bare")
    return Table("Texts of wrong answers", columns, rows, note)
