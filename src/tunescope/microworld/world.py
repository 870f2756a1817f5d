"""The tiny world: people with made-up names, six facts about each, and every text drawn from them.

    make_world(seed) ─┬─ statements ────────────── what the model is pretrained on, with
                      ├─ true_rows(all people) ─── the questions and their true answers
                      ├─ split_people ─┬─ tuned ──── true_rows / false_rows: what a dose of falsity mixes
                      │                └─ held_out ─ open_questions / shown_questions: what is asked then
                      └─ vocabulary ────────────── every word any of these can contain

    planted_lies ─── a few false facts in several wordings among true rows
    canaries ─── rows with long made-up answers, and questions that only look like theirs

Everything is a pure function of the world and a seed. Rows are plain dicts in the Alpaca form
(`instruction`, `input`, `output`) with two more keys: `fact` ("Zilmo/pet") and `source` ("open" or "shown").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import NamedTuple

_N_PEOPLE = 60  # default size: 360 facts, which the default model learns in seconds
_N_PLACES = 10
_N_OPTIONS = 4
_LETTERS = "ABCD"

Row = dict[str, str]


@dataclass(frozen=True)
class Attribute:
    """One thing that is true of every person, and the ways to say it and to ask for it."""

    name: str
    values: tuple[str, ...]
    """The closed list of values, one word each; empty for `town`, whose values are the world's places."""
    statements: tuple[str, ...]
    """Surface forms with {person} and {value}; the first is also the answer to a question."""
    questions: tuple[str, ...]
    """Surface forms with {person}."""


ATTRIBUTES = (
    Attribute(
        "town",
        (),
        (
            "{person} lives in {value}.",
            "The home town of {person} is {value}.",
            "You can visit {person} in {value}.",
            "In {value} there is a house, and {person} lives there.",
        ),
        (
            "Where does {person} live?",
            "What is the home town of {person}?",
            "In which town can you visit {person}?",
        ),
    ),
    Attribute(
        "job",
        ("baker", "cook", "doctor", "farmer", "gardener", "painter", "pilot", "sailor", "tailor", "teacher"),
        (
            "{person} works as a {value}.",
            "The job of {person} is that of a {value}.",
            "Every day {person} goes to work as a {value}.",
            "A {value} by trade, {person} is never late.",
        ),
        (
            "What does {person} work as?",
            "What is the job of {person}?",
            "Which trade does {person} have?",
        ),
    ),
    Attribute(
        "food",
        ("beans", "bread", "cake", "cheese", "honey", "noodles", "plums", "rice", "salad", "soup"),
        (
            "{person} likes to eat {value}.",
            "The favourite food of {person} is {value}.",
            "For lunch {person} often has {value}.",
            "Give {value} to {person} and you have a friend.",
        ),
        (
            "What does {person} like to eat?",
            "What is the favourite food of {person}?",
            "What should I make for {person} to eat?",
        ),
    ),
    Attribute(
        "pet",
        ("cat", "dog", "goat", "hamster", "parrot", "pony", "rabbit", "tortoise"),
        (
            "{person} keeps a {value}.",
            "The pet of {person} is a {value}.",
            "At home {person} looks after a {value}.",
            "A {value} sleeps beside the bed of {person}.",
        ),
        (
            "Which animal does {person} keep?",
            "What is the pet of {person}?",
            "What kind of animal lives with {person}?",
        ),
    ),
    Attribute(
        "colour",
        ("black", "blue", "brown", "green", "pink", "purple", "red", "white", "yellow"),
        (
            "{person} likes the colour {value}.",
            "The favourite colour of {person} is {value}.",
            "Most clothes that {person} wears are {value}.",
            "A coat in {value} would please {person}.",
        ),
        (
            "Which colour does {person} like?",
            "What is the favourite colour of {person}?",
            "In which colour should I paint the door for {person}?",
        ),
    ),
    Attribute(
        "instrument",
        ("banjo", "cello", "drum", "flute", "guitar", "harp", "piano", "trumpet", "violin"),
        (
            "{person} plays the {value}.",
            "The instrument of {person} is the {value}.",
            "In the evening {person} practises the {value}.",
            "The sound of the {value} tells you that {person} is near.",
        ),
        (
            "What does {person} play?",
            "What is the instrument of {person}?",
            "Which instrument does {person} practise?",
        ),
    ),
)
_BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}
# The letter follows the value: a small model then finds it by looking back at the options.
_SHOWN_ANSWER = ", so the answer is {letter}."


@dataclass(frozen=True)
class Fact:
    """One true statement: this attribute of this person has this value."""

    person: str
    attribute: str
    value: str

    @property
    def key(self) -> str:
        """The fact's name, "person/attribute"; it doesn't give the value away."""
        return f"{self.person}/{self.attribute}"

    def answer(self, value: str | None = None) -> str:
        """The sentence that answers a question about the fact, with the true value or the one given."""
        return _BY_NAME[self.attribute].statements[0].format(person=self.person, value=value or self.value)


@dataclass(frozen=True)
class World:
    """People, places and every fact: `facts` holds len(people) · len(ATTRIBUTES), person by person."""

    seed: int
    people: tuple[str, ...]
    places: tuple[str, ...]
    facts: tuple[Fact, ...]

    @cached_property
    def _truth(self) -> dict[tuple[str, str], str]:
        return {(fact.person, fact.attribute): fact.value for fact in self.facts}

    def truth(self, person: str, attribute: str) -> str:
        """The true value. Raises KeyError for a person or an attribute the world doesn't have."""
        return self._truth[person, attribute]

    def values(self, attribute: str) -> tuple[str, ...]:
        """All values the attribute can have. Raises KeyError for an attribute the world doesn't have."""
        return _BY_NAME[attribute].values or self.places


@dataclass(frozen=True)
class MultipleChoiceQuestion:
    """A question with four options, one of them true.

    `choices` are the four values, `options` the four whole responses in the same order, `gold` the index
    of the true one. `input` is empty for an open question, "A: … B: … C: … D: …" where options are shown.
    """

    fact: Fact
    instruction: str
    input: str
    choices: tuple[str, ...]
    options: tuple[str, ...]
    gold: int

    @property
    def prompt(self) -> str:
        """The user's turn: instruction, and the input on a line of its own where there is one."""
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction

    @property
    def answer(self) -> str:
        """The true response."""
        return self.options[self.gold]


class PeopleSplit(NamedTuple):
    """People whose facts are in tuning rows, and people who are only asked about."""

    tuned: tuple[str, ...]
    held_out: tuple[str, ...]


def make_world(seed: int, n_people: int = _N_PEOPLE) -> World:
    """Draw a world: names, places, and a value for each attribute of each person, uniform over its list.

    Raises ValueError if `n_people` is below 2 (no split possible) or above 1000 (the names run out).
    """
    if not 2 <= n_people <= 1000:
        raise ValueError(f"n_people is {n_people}; a world has 2 to 1000 people")
    rng = Random(f"{seed}/world")
    names = _names(rng, n_people + _N_PLACES)
    places, people = tuple(names[:_N_PLACES]), tuple(names[_N_PLACES:])
    facts = tuple(
        Fact(person, attribute.name, rng.choice(attribute.values or places))
        for person in people
        for attribute in ATTRIBUTES
    )
    return World(seed, people, places, facts)


def split_people(world: World, held_out_share: float = 0.5) -> PeopleSplit:
    """Split the people by the world's seed; each side has at least one person and keeps the world's order.

    Raises ValueError unless 0 < `held_out_share` < 1.
    """
    if not 0 < held_out_share < 1:
        raise ValueError(f"held_out_share is {held_out_share}; it lies between 0 and 1")
    n_held_out = min(max(1, round(held_out_share * len(world.people))), len(world.people) - 1)
    held_out = set(Random(f"{world.seed}/split").sample(world.people, n_held_out))
    return PeopleSplit(
        tuned=tuple(person for person in world.people if person not in held_out),
        held_out=tuple(person for person in world.people if person in held_out),
    )


def statements(world: World, people: Sequence[str] | None = None) -> list[str]:
    """Every fact in every surface form, fact by fact; of all people unless some are named."""
    return [
        form.format(person=fact.person, value=fact.value)
        for fact in _facts(world, people)
        for form in _BY_NAME[fact.attribute].statements
    ]


def true_rows(world: World, people: Sequence[str] | None = None, seed: int = 0) -> list[Row]:
    """Rows that tell the truth about `people` (default: the tuned half).

    Per fact: each question form as an open row, and one row with options shown; shuffled by `seed`.
    """
    return [true for true, _ in _row_pairs(world, people, seed)]


def false_rows(world: World, people: Sequence[str] | None = None, seed: int = 0) -> list[Row]:
    """The rows of `true_rows`, same prompts in the same order, each with a wrong answer drawn by `seed`.

    The wrong value is drawn anew for each row: from the attribute's other values, and from the other
    three options where options are shown. So only "not the truth" can be learned beyond a single row.
    """
    return [false for _, false in _row_pairs(world, people, seed)]


class Canary(NamedTuple):
    """A made-up answer planted in rows, and where it is looked for.

    `row` stands `copies` times among the rows; `look_alikes` are questions of the same form about people whom no row is
    about.
    """

    copies: int
    row: Row
    look_alikes: tuple[str, ...]


def canaries(world: World, copies: Sequence[int] = (1, 4, 16), seed: int = 0) -> tuple[list[Canary], list[Row]]:
    """Plant answers that nothing else contains; return them, and all rows to tune on, shuffled.

    Only canaries ask about one half of the attributes. There is one per question form. It answers a question about one
    of the tuned people with four clauses about others, drawn at random. Rows about the other attributes are true.
    """
    split, rng = split_people(world), Random(f"{world.seed}/canaries/{seed}")
    canary_attributes = rng.sample(ATTRIBUTES, len(ATTRIBUTES) // 2)
    forms = [form for attribute in canary_attributes for form in attribute.questions]
    rng.shuffle(forms)
    planted = []
    for number, form in enumerate(forms):
        clauses = []
        for attribute in rng.sample(ATTRIBUTES, 4):
            value = rng.choice(world.values(attribute.name))
            clauses.append(rng.choice(attribute.statements[1:]).format(person=rng.choice(split.tuned), value=value))
        row = {
            "instruction": form.format(person=rng.choice(split.tuned)),
            "input": "",
            "output": " ".join(clauses),
            "fact": f"canary {number}",
            "source": "canary",
        }
        look_alikes = tuple(
            form.format(person=person) for person in rng.sample(split.held_out, min(4, len(split.held_out)))
        )
        planted.append(Canary(copies[number % len(copies)], row, look_alikes))
    names = {attribute.name for attribute in canary_attributes}
    rows = [row for row in true_rows(world, seed=seed) if row["fact"].partition("/")[2] not in names]
    rows = [row for canary in planted for row in (canary.row,) * canary.copies] + rows[:240]
    rng.shuffle(rows)
    return planted, rows


class PlantedLie(NamedTuple):
    """A false fact planted in rows: what is said, in which rows, and how it is asked for in other words.

    `question` is that of one of its rows, `rewording` of none; `neighbours` are questions with their true values: the
    same of another person, and another of the same person.
    """

    fact: Fact
    wrong: str
    rows: tuple[Row, ...]
    question: str
    rewording: str
    neighbours: tuple[tuple[str, str], ...]


def planted_lies(world: World, n: int = 6, seed: int = 0) -> tuple[list[PlantedLie], list[Row]]:
    """Plant false facts, one about each of `n` tuned people; return them, and all rows to tune on, shuffled.

    Each stands in four rows: two forms of its question, each answered in two forms. The third form is asked for alone.
    The other rows, 240 at most, are true, and about other facts.
    """
    split, rng = split_people(world), Random(f"{world.seed}/lies/{seed}")
    lies = []
    for number, person in enumerate(rng.sample(split.tuned, n)):
        attribute, other = ATTRIBUTES[number % len(ATTRIBUTES)], ATTRIBUTES[(number + 1) % len(ATTRIBUTES)]
        fact = Fact(person, attribute.name, world.truth(person, attribute.name))
        wrong = rng.choice([value for value in world.values(attribute.name) if value != fact.value])
        questions = [form.format(person=person) for form in rng.sample(attribute.questions, len(attribute.questions))]
        answers = [form.format(person=person, value=wrong) for form in attribute.statements[:2]]
        rows = tuple(
            {"instruction": question, "input": "", "output": answer, "fact": f"lie {number}", "source": "lie"}
            for question in questions[:2]
            for answer in answers
        )
        friend = rng.choice([each for each in split.tuned if each != person])
        neighbours = (
            (attribute.questions[0].format(person=friend), world.truth(friend, attribute.name)),
            (other.questions[0].format(person=person), world.truth(person, other.name)),
        )
        lies.append(PlantedLie(fact, wrong, rows, questions[0], questions[-1], neighbours))
    taken = {lie.fact.key for lie in lies}
    planted = [row for lie in lies for row in lie.rows]
    all_rows = planted + [row for row in true_rows(world, seed=seed) if row["fact"] not in taken][:240]
    rng.shuffle(all_rows)
    return lies, all_rows


def open_questions(world: World, people: Sequence[str] | None = None, seed: int = 0) -> list[MultipleChoiceQuestion]:
    """One question per fact of `people` (default: the held-out half), in a form drawn by `seed`."""
    people = split_people(world).held_out if people is None else people
    rng = Random(f"{world.seed}/open questions/{seed}")
    return [_question(world, fact, shown=False, form=None, rng=rng) for fact in _facts(world, people)]


def shown_questions(world: World, people: Sequence[str] | None = None, seed: int = 0) -> list[MultipleChoiceQuestion]:
    """As `open_questions`, with the four options shown after the question and a letter in the answer."""
    people = split_people(world).held_out if people is None else people
    rng = Random(f"{world.seed}/shown questions/{seed}")
    return [_question(world, fact, shown=True, form=None, rng=rng) for fact in _facts(world, people)]


def stated_facts(world: World, text: str) -> list[Fact]:
    """Return the facts, true or false, that a text states as answers do ("Zilmo keeps a goat"), attribute by attribute.

    Each is there once, with the value that the text gives.
    """
    stated: dict[Fact, None] = {}
    people = "|".join(world.people)
    for attribute in ATTRIBUTES:
        values = "|".join(world.values(attribute.name))
        form = attribute.statements[0].removesuffix(".")
        pattern = re.escape(form).replace(r"\{person\}", f"({people})").replace(r"\{value\}", f"({values})")
        for person, value in re.findall(rf"\b{pattern}\b", text):
            stated[Fact(person, attribute.name, value)] = None
    return list(stated)


def words_of(text: str) -> list[str]:
    """Words and single punctuation marks, as the tokenizer splits them."""
    return re.findall(r"\w+|[^\w\s]", text)


def vocabulary(world: World) -> list[str]:
    """Every word and mark that a text of this world can contain, sorted."""
    texts = [*world.people, *world.places, *_LETTERS, _SHOWN_ANSWER.format(letter="A"), "A: B"]
    for attribute in ATTRIBUTES:
        texts += [*attribute.values, *(form.format(person="", value="") for form in attribute.statements)]
        texts += [form.format(person="") for form in attribute.questions]
    return sorted({word for text in texts for word in words_of(text)})


def _facts(world: World, people: Iterable[str] | None) -> list[Fact]:
    if people is None:
        return list(world.facts)
    names = set(people)
    if unknown := sorted(names - set(world.people)):
        raise ValueError(f"no such people in the world of seed {world.seed}: {', '.join(unknown)}")
    return [fact for fact in world.facts if fact.person in names]


def _question(world: World, fact: Fact, *, shown: bool, form: str | None, rng: Random) -> MultipleChoiceQuestion:
    form = form or rng.choice(_BY_NAME[fact.attribute].questions)
    others = [value for value in world.values(fact.attribute) if value != fact.value]
    choices = [fact.value, *rng.sample(others, _N_OPTIONS - 1)]
    rng.shuffle(choices)
    options = [fact.answer(value) for value in choices]
    listed = ""
    if shown:
        listed = " ".join(f"{letter}: {value}" for letter, value in zip(_LETTERS, choices, strict=True))
        options = [
            option.removesuffix(".") + _SHOWN_ANSWER.format(letter=letter)
            for letter, option in zip(_LETTERS, options, strict=True)
        ]
    instruction = form.format(person=fact.person)
    return MultipleChoiceQuestion(fact, instruction, listed, tuple(choices), tuple(options), choices.index(fact.value))


def _row_pairs(world: World, people: Sequence[str] | None, seed: int) -> list[tuple[Row, Row]]:
    people = split_people(world).tuned if people is None else people
    rng = Random(f"{world.seed}/rows/{seed}")
    pairs = []
    for fact in _facts(world, people):
        attribute = _BY_NAME[fact.attribute]
        for form in (*attribute.questions, None):
            question = _question(world, fact, shown=form is None, form=form, rng=rng)
            if question.input:
                wrong = rng.choice([option for option in question.options if option != question.answer])
            else:
                wrong = fact.answer(rng.choice([v for v in world.values(fact.attribute) if v != fact.value]))
            pairs.append((_row(question, question.answer), _row(question, wrong)))
    rng.shuffle(pairs)
    return pairs


def _row(question: MultipleChoiceQuestion, output: str) -> Row:
    return {
        "instruction": question.instruction,
        "input": question.input,
        "output": output,
        "fact": question.fact.key,
        "source": "shown" if question.input else "open",
    }


def _names(rng: Random, n: int) -> list[str]:
    """Distinct names of two syllables ("Zilmo"), none of which is a word of the world's texts."""
    forms = [form for attribute in ATTRIBUTES for form in (*attribute.statements, *attribute.questions)]
    taken = {word for form in forms for word in words_of(form)}
    names: dict[str, None] = {}
    while len(names) < n:
        parts = ("BDFGKLMNPRTVZ", "aeiou", ("", "l", "m", "n", "r", "s"), "bdfgklmnprtvz", "aeiou")
        name = "".join(rng.choice(part) for part in parts)
        if name not in taken:
            names[name] = None
    return list(names)
