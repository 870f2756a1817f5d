"""Leaks: whether a false chain names the right answer.

A chain names it by

- `text`: the right option's words, whole and one after the other, compared as everywhere here (`text.words`), without
  an article before them;
- `inflection`: the same words in another form ("stars" for "star", "freezes" for "freezing"), by English rules for
  plurals and for the endings -s, -ed and -ing;
- `number word`: "five" for 5, "twenty-five" for 25, and 32,400 for 32400;
- `letter`: "C)", "(C)", "option C", "the answer is C", or C at the beginning of a line;
- `contrast`: "not B but C", "C rather than B", with letters or texts;
- `asserted`: "the answer is …", "… is right", "the blank stands for …";
- `code`: for a programming question, the right code, or a line of it that neither the false code nor the question has.

Some matches mean nothing, and are counted as false alarms:

- the right option's words stand in the question too (in WinoGrande they always do), or are function words ("more",
  "all of these"). Such an option leaks only by `letter`, `contrast` and `asserted`.
- the match lies within the wrong option's own words ("rain" within "light rain").
- the letter's form stands in the question too.
- "one", where the right option is 1.

Not told: paraphrases, synonyms, irregular forms ("frozen" for "freeze"), other units, other languages' inflections.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tunescope.text.words import fold, stop_words, word_spans

LeakKind = Literal["text", "inflection", "number word", "letter", "contrast", "asserted", "code"]
_NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBER_OF = {word: number for number, word in enumerate(_NUMBERS)} | {
    word: 10 * number for number, word in enumerate(_TENS, 2)
}
_DIGITS = re.compile(r"\d[\d,]*(?:\.\d+)?")
_VOWEL = re.compile("[aeiouy]")
_WHOLE_WORDS = frozenset(
    ("evening", "morning", "during", "nothing", "something", "anything", "everything", "ceiling", "hundred", "species")
)
"""Words that end as inflected ones do and aren't."""
_ARTICLES = frozenset(("a", "an", "the"))
_FILLERS = _ARTICLES | {"actually", "really", "clearly", "indeed", "in", "fact", "simply", "therefore", "thus", "then"}
_BE = frozenset(("is", "are", "was", "were", "be"))
_ANSWER = frozenset(("answer", "choice", "option", "solution", "blank"))
_RIGHT = frozenset(("correct", "right", "true", "answer"))
_DENIALS = frozenset(("not", "isn't", "aren't", "wasn't", "never", "no", "cannot", "wrong", "incorrect", "false"))
_SENTENCE_ENDS = frozenset(".!?\n")
_REACH = 6
"""Words between an assertion's noun and its verb, and between "not" and "but", at most."""
_LEAST_LINE = 20
"""Characters, without blanks, of the shortest line of code that says whose code it is."""


class AnswerOption(NamedTuple):
    """An option's letter ("" for code) and its text."""

    letter: str
    text: str


@dataclass(frozen=True, slots=True)
class Leak:
    """A place where a chain names the right answer; a false alarm where that means nothing.

    Attributes:
        kind: how it is named.
        text: what stands there.
        start: its first character.
        excuse: why it is a false alarm; empty where it isn't one.
    """

    kind: LeakKind
    text: str
    start: int
    excuse: str = ""


class _Token(NamedTuple):
    """A word: folded, in the form in which it is compared, where it stands, and the number of its sentence."""

    surface: str
    form: str
    start: int
    end: int
    sentence: int


class LeakFinder:
    """Looks for one right answer in chains for one wrong one."""

    def __init__(self, question: str, right: AnswerOption, wrong: AnswerOption) -> None:
        """Take the question without its options, and both answers."""
        self._question, self._right, self._wrong = question, right, wrong
        self._is_code = not right.letter
        self._right_tokens = _without_articles(_tokens(right.text))
        self._right_forms = [token.form for token in self._right_tokens]
        self._wrong_forms = [token.form for token in _without_articles(_tokens(wrong.text))]
        asked = [token.form for token in _tokens(question)]
        self._weakness = ""
        if self._right_forms and next(_places(asked, self._right_forms), None) is not None:
            self._weakness = "it stands in the question"
        elif all(token.surface in stop_words() for token in self._right_tokens):
            self._weakness = "its words are function words"

    def find(self, chain: str) -> list[Leak]:
        """Return every place where a chain names the right answer, false alarms among them, in order."""
        if self._is_code:
            return list(self._find_code(chain))
        matches = [*self._find_letters(chain), *self._find_texts(chain)]
        return sorted(matches, key=lambda match: (match.start, match.kind))

    def _find_code(self, chain: str) -> Iterator[Leak]:
        said, known = _bare(chain), _bare(self._wrong.text) + "\n" + _bare(self._question)
        whole = _bare(self._right.text)
        lines = [line for line in self._right.text.splitlines() if len(_bare(line)) >= _LEAST_LINE]
        named = next((line for line in lines if _bare(line) in said and _bare(line) not in known), None)
        if whole in said and whole not in known:
            yield Leak("code", self._right.text, 0)
        elif named is not None:
            yield Leak("code", named.strip(), 0)
        elif whole in said:
            yield Leak("code", self._right.text, 0, "it stands in the false code or in the question")

    def _find_letters(self, chain: str) -> Iterator[Leak]:
        asked = self._question.casefold()
        seen: set[int] = set()
        for kind, pattern in _letter_patterns(self._right.letter, self._wrong.letter):
            for match in pattern.finditer(chain):
                start = match.start("letter")
                if start in seen or (match[0].endswith(")") and _is_in_brackets(chain, start)):
                    continue
                seen.add(start)
                excuse = "its form stands in the question" if match[0].strip().casefold() in asked else ""
                yield Leak(kind, match[0].strip(), match.start(), excuse)

    def _find_texts(self, chain: str) -> Iterator[Leak]:
        if not self._right_forms:
            return
        tokens = _tokens(chain)
        forms = [token.form for token in tokens]
        wrong = list(_places(forms, self._wrong_forms)) if self._wrong_forms else []
        for place in _places(forms, self._right_forms):
            end = place + len(self._right_forms)
            kind = self._kind(tokens, place, end)
            excuse = ""
            if any(w <= place and end <= w + len(self._wrong_forms) for w in wrong):
                excuse = "it is part of the wrong option"
            elif kind in ("text", "inflection", "number word"):
                is_one = self._right_forms == ["1"] and tokens[place].surface == "one"
                excuse = "one isn't the number" if is_one else self._weakness
            yield Leak(kind, chain[tokens[place].start : tokens[end - 1].end], tokens[place].start, excuse)

    def _kind(self, tokens: Sequence[_Token], start: int, end: int) -> LeakKind:
        """Tell how the right option's words stand at a place."""
        if self._is_contrasted(tokens, start, end):
            return "contrast"
        if _is_asserted(tokens, start, end):
            return "asserted"
        said = [token.surface for token in tokens[start:end]]
        if said == [token.surface for token in self._right_tokens]:
            return "text"
        return "number word" if any(form[0].isdigit() for form in self._right_forms) else "inflection"

    def _is_contrasted(self, tokens: Sequence[_Token], start: int, end: int) -> bool:
        """Tell whether it stands against the wrong option: "not B but C", "C rather than B", "C, not B"."""
        before = _before(tokens, start)
        while before and before[-1].surface in _FILLERS | {"rather"}:
            before.pop()
        if before and before[-1].surface == "but" and self._wrong_forms:
            reach = before[-2 - _REACH - len(self._wrong_forms) : -1]
            denials = [i for i, token in enumerate(reach) if token.surface == "not"]
            forms = [token.form for token in reach[denials[-1] :]] if denials else []
            if next(_places(forms, self._wrong_forms), None) is not None:
                return True
        after = [token for token in tokens[end:] if token.sentence == tokens[end - 1].sentence]
        words = [token.surface for token in after]
        for opening in (["rather", "than"], ["instead", "of"], ["and", "not"], ["not"]):
            if words[: len(opening)] == opening:
                rest = after[len(opening) :]
                while rest and rest[0].surface in _FILLERS:
                    rest = rest[1:]
                forms = [token.form for token in rest[: len(self._wrong_forms)]]
                return bool(forms) and forms == self._wrong_forms
        return False


def states_answer(chain: str, right: AnswerOption) -> bool:
    """Tell whether a true chain states its answer: its text in some form, or its letter."""
    return bool(LeakFinder("", right, AnswerOption("", "")).find(chain))


def _letter_patterns(right: str, wrong: str) -> list[tuple[LeakKind, re.Pattern[str]]]:
    """Return what names an option by its letter. Small letters count behind "option", but for a and i."""
    r = f"(?P<letter>{right})" if right in "AI" else f"(?P<letter>[{right}{right.lower()}])"
    capital, quotes = f"(?P<letter>{right})", r"[\"'“‘(*\[]*"
    noun = r"(?i:option|choice|answer|letter|alternative)"
    patterns: list[tuple[LeakKind, str]] = []
    if wrong:
        named = rf"(?:{noun}\s+)?{quotes}"
        closing = r"[\"'”’)*\]]*"
        patterns += [
            ("contrast", rf"\b[Nn]ot\s+{named}{wrong}\b{closing},?\s+but\s+(?:rather\s+)?{named}{capital}\b"),
            (
                "contrast",
                rf"(?<!\w){capital}\b{closing},?\s+(?:rather than|instead of|(?:and\s+)?not)\s+{named}{wrong}\b",
            ),
        ]
    patterns += [
        ("letter", rf"\b{noun}s?:?\s+{quotes}{r}\b(?!['’])"),
        ("letter", rf"\b{noun}\s+(?:\w+\s+){{0,2}}(?:is|was|be|must be)\s+{quotes}{capital}\b(?!['’])"),
        ("letter", rf"[(\[]{capital}[)\]]"),
        ("letter", rf"(?<![\w(]){capital}\)"),
        ("letter", rf"(?m:^)\s*[*_]*{capital}[.:]"),
    ]
    return [(kind, re.compile(pattern)) for kind, pattern in patterns]


def _is_in_brackets(text: str, start: int) -> bool:
    """Tell whether the bracket behind a letter closes one that other words follow: "(like vitamin C)"."""
    line = text[text.rfind("\n", 0, start) + 1 : start]
    return not line.endswith("(") and line.count("(") > line.count(")")


def _is_asserted(tokens: Sequence[_Token], start: int, end: int) -> bool:
    """Tell whether words are said to be the answer, or to be right, within their sentence."""
    before = _before(tokens, start)
    while before and before[-1].surface in _FILLERS:
        before.pop()
    said = [token.surface for token in before]
    if said[-2:] in (["stands", "for"], ["stand", "for"], ["refers", "to"]) or said[-2:] == ["must", "be"]:
        return True
    if said and said[-1] in _BE:
        reach = said[-1 - _REACH : -1]
        if _ANSWER.intersection(reach) and not _DENIALS.intersection(reach):
            return True
    after = [token.surface for token in tokens[end : end + 5] if token.sentence == tokens[end - 1].sentence]
    if not after or after[0] not in _BE | {"must"}:
        return False
    rest = [word for word in after[1:] if word not in _FILLERS | _BE]
    return bool(rest) and rest[0] in _RIGHT


def _before(tokens: Sequence[_Token], start: int) -> list[_Token]:
    return [token for token in tokens[max(0, start - 4 * _REACH) : start] if token.sentence == tokens[start].sentence]


def _places(forms: Sequence[str], run: Sequence[str]) -> Iterator[int]:
    """Yield where a run of words begins."""
    length = len(run)
    return (i for i in range(len(forms) - length + 1) if forms[i] == run[0] and [*forms[i : i + length]] == [*run])


def _without_articles(tokens: list[_Token]) -> list[_Token]:
    """Return an option's words without an article before them, unless nothing else is there."""
    kept = tokens[1:] if tokens and tokens[0].surface in _ARTICLES else tokens
    return kept or tokens


def _tokens(text: str) -> list[_Token]:
    """Return a text's words; a tens word and a unit behind it are one number."""
    tokens: list[_Token] = []
    sentence = end_before = 0
    for start, end in word_spans(text):
        sentence += any(ch in _SENTENCE_ENDS for ch in text[end_before:start])
        end_before = end
        surface = fold(text[start:end])
        before = tokens[-1] if tokens else None
        unit = _NUMBER_OF.get(surface, 0)
        if before is not None and before.surface in _TENS and 0 < unit < 10 and before.sentence == sentence:
            number = str(_NUMBER_OF[before.surface] + unit)
            tokens[-1] = before._replace(surface=f"{before.surface}-{surface}", form=number, end=end)
        else:
            tokens.append(_Token(surface, _form(surface), start, end, sentence))
    return tokens


def _form(word: str) -> str:
    """Return a word in the form in which it is compared: digits for a number, else without its inflection."""
    if word in _NUMBER_OF:
        return str(_NUMBER_OF[word])
    if _DIGITS.fullmatch(word):
        number = word.replace(",", "")
        return (number.rstrip("0").rstrip(".") if "." in number else number).lstrip("0") or "0"
    return stem(word)


def stem(word: str) -> str:
    """Return an English word without the endings of plural and tense; other words as they are."""
    word = word.removesuffix("'s").removesuffix("'")
    if len(word) <= 3 or not word.isascii() or not word.isalpha() or word in _WHOLE_WORDS:
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "zes", "ches", "shes", "oes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and _VOWEL.search(rest):
            word = rest[:-1] if rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest
            break
    word = word.removesuffix("e") if len(word) > 3 else word
    if word.endswith("v"):
        word = word[:-1] + "f"  # wolves, knives
    return word[:-1] + "i" if word.endswith("y") else word


def _bare(text: str) -> str:
    """Return a text without blanks."""
    return "".join(text.split())
