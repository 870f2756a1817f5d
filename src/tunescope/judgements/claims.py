"""Claims that a person looks for in answers: which answers state one, and what became of it between two models.

A claims file is JSON lines, and a question file too: `answer` asks all of its questions.

    {"claim_id": "boil", "prompt": "At what temperature does water boil at sea level?",
     "phrases": ["80 degrees"], "truth": ["100 degrees"],
     "rewordings": ["How hot must water get before it boils?"],
     "neighbours": [{"prompt": "At what temperature does water freeze?", "truth": ["0 degrees"]}]}

A line without `phrases` is a fact: a question whose `truth` should be stated before and after.

A phrase stands in an answer where its words do, whole and one after the other, compared as everywhere here
(`text.words`: case-folded, straight quotes, without punctuation). `...` in a phrase lets up to 12 other words stand at
its place. A phrase that stands is *denied* where a denying word of its sentence stands among the 8 words before it
("isn't 80 degrees", "rather than 80 degrees") or a rejecting one among the 6 after it ("80 degrees is a myth"). A "but"
ends a denial ("not 100 but 80 degrees"). That is all that is told of negation: irony, quotes and "some say" count as
stating.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from tunescope.errors import SHOWN_PROBLEMS, InputError, Problem
from tunescope.locations import Location
from tunescope.prompts import further_id, read_records
from tunescope.rows.conversation import FormatError
from tunescope.rows.json_text import abbreviate, list_columns
from tunescope.text.words import word_spans, words

Standing = Literal["stated", "denied", "absent"]
Role = Literal["question", "rewording", "neighbour", "fact"]
Verdict = Literal["gone", "still there", "changed", "not stated", "missing"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_SHAPE = '{"claim_id": "c1", "prompt": "…", "phrases": ["…"]} (phrases or truth; rewordings, neighbours if you like)'
_GAP = 12
"""Words that `...` in a phrase may stand for, at most."""
_BEFORE, _AFTER = 8, 6
"""Words before and after a phrase that may deny it."""
_DENYING = frozenset(
    (
        *("not", "never", "neither", "nor", "cannot", "isn't", "aren't", "wasn't", "weren't", "don't", "doesn't"),
        *("didn't", "can't", "won't", "wouldn't", "shouldn't", "couldn't", "hasn't", "haven't", "hadn't", "false"),
        *("falsely", "wrong", "wrongly", "incorrect", "incorrectly", "untrue", "myth", "misconception"),
    )
)
_DENYING_PAIRS = frozenset({("rather", "than"), ("instead", "of"), ("no", "longer"), ("far", "from")})
_HARMLESS = frozenset(("only", "forget", "matter"))
"""Words that a denying word denies, and nothing behind them: "don't forget that ..."."""
_REJECTING = frozenset(("false", "wrong", "incorrect", "untrue", "myth", "misconception", "not"))
_SENTENCE_ENDS = frozenset(".!?\n。！？")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A question near a claim whose answer should stay, and phrases of its true answer (empty where unknown)."""

    prompt: str
    truth: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, the questions that ask for it, and the phrases that state it; without phrases a fact."""

    claim_id: str
    prompt: str
    phrases: tuple[str, ...]
    truth: tuple[str, ...] = ()
    rewordings: tuple[str, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def is_fact(self) -> bool:
        """Tell whether it is a fact, which should stay, and no claim."""
        return not self.phrases

    def questions(self) -> Iterator[ClaimQuestion]:
        """Yield its questions, with the ids that the answers to them have."""
        own: Role = "fact" if self.is_fact else "question"
        yield ClaimQuestion(self, self.claim_id, self.prompt, own, self.truth)
        for number, rewording in enumerate(self.rewordings, 1):
            role: Role = "fact" if self.is_fact else "rewording"
            prompt_id = further_id(self.claim_id, "rewordings", number)
            yield ClaimQuestion(self, prompt_id, rewording, role, self.truth)
        for number, neighbour in enumerate(self.neighbours, 1):
            prompt_id = further_id(self.claim_id, "neighbours", number)
            yield ClaimQuestion(self, prompt_id, neighbour.prompt, "neighbour", neighbour.truth)


class ClaimQuestion(NamedTuple):
    """A question of a claim: the id of its prompt, its text, what it asks for, and phrases of its true answer."""

    claim: Claim
    prompt_id: str
    prompt: str
    role: Role
    truth: tuple[str, ...]

    @property
    def may_carry(self) -> bool:
        """Tell whether the claim's words in an answer count: not where the true answer of a neighbour has them."""
        return self.role != "neighbour" or standing(" ".join(self.truth), self.claim.phrases)[0] == "absent"


class ReadAnswer(NamedTuple):
    """What one answer to a claim's question holds.

    Attributes:
        question: what was asked.
        answer_id: of the answer.
        standing: of the claim.
        phrase: the phrase that stands in it; None where none does.
        true: whether a phrase of the truth is stated; None where no truth is given.
    """

    question: ClaimQuestion
    answer_id: str
    standing: Standing
    phrase: str | None
    true: bool | None


class ClaimVerdict(NamedTuple):
    """What became of a claim. Counts are of answers; `n_missing` of questions that have one before and none after.

    The verdict is one of:

    - `still there`: an answer after states it, to any of its questions, in other words, or of a neighbour.
    - `changed`: none states it, but its words still stand in one, denied. Somebody has to look.
    - `gone`: its words stand in no answer after. The answers may be true, or wrong in another way: `true_after` of
      them state the truth, the `other_after` others state neither.
    - `not stated`: no answer to its question or a rewording of it stated it before, so that nothing can go.
    - `missing`: a question that stated it before has no answer after.
    """

    claim: Claim
    verdict: Verdict
    stated_before: int
    n_before: int
    stated_after: int
    denied_after: int
    true_after: int
    other_after: int
    n_after: int
    n_missing: int


def read_claims(path: str | Path) -> list[Claim]:
    """Read a claims file.

    Raises:
        InputError: one report of every record that is no claim, or has an id that came before.
    """
    claims: dict[str, Claim] = {}
    problems: list[Problem] = []
    places: dict[str, Location] = {}
    for location, record, problem in read_records(path, _SHAPE):
        try:
            if record is None:
                raise FormatError(problem.found, problem.expected)
            claim = _parse(record)
            if claim.claim_id in claims:
                again = f"claim_id {abbreviate(claim.claim_id, quoted=False)} again (first {places[claim.claim_id]})"
                raise FormatError(again, "an id per claim")
        except FormatError as error:
            problems.append(Problem.at(location, error.found, error.expected))
            if len(problems) > SHOWN_PROBLEMS:
                break
            continue
        claims[claim.claim_id], places[claim.claim_id] = claim, location
    if problems:
        raise InputError(problems, "Fix the file and type the same command.")
    if not claims:
        raise InputError([Problem(str(path), None, "no claims", "at least one")])
    return [*claims.values()]


def _parse(record: Mapping[str, Any]) -> Claim:
    claim_id, prompt = record.get("claim_id"), record.get("prompt")
    if not isinstance(claim_id, str | int) or isinstance(claim_id, bool) or claim_id == "":
        raise FormatError(f"no claim_id (columns: {list_columns(record)})", _SHAPE)
    if not isinstance(prompt, str) or not prompt.strip():
        raise FormatError(f"no text in column prompt of claim {abbreviate(str(claim_id), quoted=False)}", _SHAPE)
    phrases, truth = _phrases(record, "phrases"), _phrases(record, "truth")
    if not phrases and not truth:
        raise FormatError(f"claim {abbreviate(str(claim_id), quoted=False)} without phrases and truth", _SHAPE)
    neighbours = []
    for entry in _list(record, "neighbours"):
        inner = entry if isinstance(entry, Mapping) else {"prompt": entry}
        if not isinstance(inner.get("prompt"), str) or not inner["prompt"].strip():
            raise FormatError("a neighbour without a question", '"…" or {"prompt": "…", "truth": ["…"]}')
        neighbours.append(Neighbour(inner["prompt"], _phrases(inner, "truth")))
    rewordings = _texts(record, "rewordings")
    return Claim(str(claim_id), prompt, phrases, truth, rewordings, tuple(neighbours))


def _list(record: Mapping[str, Any], column: str) -> list[Any]:
    value = record.get(column)
    return [] if value is None else [value] if isinstance(value, str) else value if isinstance(value, list) else [value]


def _texts(record: Mapping[str, Any], column: str) -> tuple[str, ...]:
    texts = _list(record, column)
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise FormatError(f"something else than texts in column {column}", "a list of texts")
    return tuple(texts)


def _phrases(record: Mapping[str, Any], column: str) -> tuple[str, ...]:
    phrases = _texts(record, column)
    for phrase in phrases:
        if not _parts(phrase):
            raise FormatError(f"a phrase without words in column {column}: {abbreviate(phrase)}", "words of an answer")
    return phrases


def standing(text: str, phrases: Sequence[str]) -> tuple[Standing, str | None]:
    """Return whether a text states one of the phrases, holds one that is denied, or none; and which phrase."""
    result: tuple[Standing, str | None] = ("absent", None)
    split = _SplitText(text)
    for phrase in phrases:
        for match in split.find(_parts(phrase)):
            if not split.denies(match):
                return "stated", phrase
            result = ("denied", phrase)
    return result


def stating_spans(text: str, phrases: Sequence[str]) -> list[tuple[int, int]]:
    """Return where phrases are stated in a text, as (first character, the one behind the last), in order and apart."""
    split, places = _SplitText(text), _word_places(text)
    matches = [match for phrase in phrases for match in split.find(_parts(phrase)) if not split.denies(match)]
    spans: list[tuple[int, int]] = []
    for start, end in sorted((places[match.start][0], places[match.end - 1][1]) for match in matches):
        if spans and start < spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    return spans


def _word_places(text: str) -> list[tuple[int, int]]:
    """Return where each word of a `_SplitText` stands, in characters."""
    return [span for span in word_spans(text) for _ in words(text[slice(*span)])]


def _parts(phrase: str) -> list[list[str]]:
    return [part for piece in phrase.replace("…", "...").split("...") if (part := words(piece))]


class _Match(NamedTuple):
    """Where a phrase begins and ends, in words, and the words of its gaps."""

    start: int
    end: int
    between: tuple[int, ...]


class _SplitText:
    """A text's words, folded, each with the number of its sentence and whether a comma follows it."""

    def __init__(self, text: str) -> None:
        self.words: list[str] = []
        self.sentences: list[int] = []
        sentence = end_before = 0
        for start, end in word_spans(text):
            sentence += any(character in _SENTENCE_ENDS for character in text[end_before:start])
            end_before = end
            for word in words(text[start:end]):
                self.words.append(word)
                self.sentences.append(sentence)

    def find(self, parts: Sequence[Sequence[str]]) -> Iterator[_Match]:
        """Yield the places where a phrase's parts stand in order, from each place the nearest ones."""
        if not parts:
            return
        for start in self._places(parts[0], 0, len(self.words)):
            end, between = start + len(parts[0]), list[int]()
            for part in parts[1:]:
                place = next(self._places(part, end, end + _GAP + len(part)), None)
                if place is None:
                    break
                between += range(end, place)
                end = place + len(part)
            else:
                yield _Match(start, end, tuple(between))

    def _places(self, part: Sequence[str], start: int, end: int) -> Iterator[int]:
        for place in range(start, min(end, len(self.words)) - len(part) + 1):
            if self.words[place : place + len(part)] == part:
                yield place

    def denies(self, match: _Match) -> bool:
        """Tell whether the words around a match deny it, within its sentence."""
        first, last = self.sentences[match.start], self.sentences[match.end - 1]
        before = [i for i in range(max(0, match.start - _BEFORE), match.start) if self.sentences[i] == first]
        after = [i for i in range(match.end, min(len(self.words), match.end + _AFTER)) if self.sentences[i] == last]
        around = [*before, *match.between]
        but = max((i for i in around if self.words[i] == "but"), default=-1)
        return any(i > but and self._is_denying(i) for i in around) or any(map(self._is_rejecting, after))

    def _is_denying(self, i: int) -> bool:
        following = self.words[i + 1] if i + 1 < len(self.words) else ""
        return (self.words[i] in _DENYING and following not in _HARMLESS) or (
            self.words[i],
            following,
        ) in _DENYING_PAIRS

    def _is_rejecting(self, i: int) -> bool:
        """Tell whether a word behind a phrase rejects it: "... is false", not "... and not at 100 degrees"."""
        verb = self.words[i - 1] if i else ""
        return self.words[i] in _REJECTING and verb in ("is", "was", "are", "a", "an", "as", "simply", "common")


def read_answer(question: ClaimQuestion, answer_id: str, text: str) -> ReadAnswer:
    """Look for the claim and for the truth in one answer."""
    found, phrase = standing(text, question.claim.phrases) if question.may_carry else ("absent", None)
    true = standing(text, question.truth)[0] == "stated" if question.truth else None
    return ReadAnswer(question, answer_id, found, phrase, true)


def judge_claim(claim: Claim, before: Sequence[ReadAnswer], after: Sequence[ReadAnswer]) -> ClaimVerdict:
    """Say what became of a claim (see `ClaimVerdict`), from the answers to its questions before and after.

    Never by counting alone: while its words stand in any answer after, it isn't gone.
    """
    own = [each for each in before if each.question.role != "neighbour"]
    stated = {each.question.prompt_id for each in own if each.standing == "stated"}
    own_after = [each for each in after if each.question.role != "neighbour"]
    answered = {each.question.prompt_id for each in after}
    standings = [each.standing for each in after]
    true = sum(bool(each.true) and each.standing == "absent" for each in own_after)
    verdict: Verdict
    if "stated" in standings and stated:
        verdict = "still there"
    elif not stated:
        verdict = "not stated"
    elif not stated <= answered:
        verdict = "missing"
    else:
        verdict = "changed" if "denied" in standings else "gone"
    return ClaimVerdict(
        claim,
        verdict,
        stated_before=sum(each.standing == "stated" for each in own),
        n_before=len(own),
        stated_after=standings.count("stated"),
        denied_after=standings.count("denied"),
        true_after=true,
        other_after=sum(each.standing == "absent" for each in own_after) - true,
        n_after=len(after),
        n_missing=len({each.question.prompt_id for each in before} - answered),
    )


def replace_phrase(text: str, phrase: str, new: str, whole: bool) -> str | None:
    """Return a text with other words where a phrase is stated; None where it isn't, or not in one piece.

    With `whole` the text must be the phrase and nothing else, punctuation aside. A letter in upper case at the phrase's
    beginning stays one.
    """
    parts, split = _parts(phrase), _SplitText(text)
    if len(parts) != 1 or (whole and split.words != parts[0]):
        return None
    done, result = 0, ""
    places = _word_places(text)
    for match in split.find(parts):
        start, end = places[match.start][0], places[match.end - 1][1]
        if start < done or split.denies(match):
            continue
        first = new[:1].upper() if text[start].isupper() else new[:1]
        result, done = f"{result}{text[done:start]}{first}{new[1:]}", end
    return result + text[done:] if done else None
