"""How an assistant declines, in each language that we know, and whether a text opens so.

Only the opening of a text counts, and only what the assistant says itself: not what somebody says in a story, nor what
a letter declines. A pattern is asked only of a text that has one of its language's hints. All are in lower case, and in
NFC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unicodedata import normalize

_OPENING = 200
"""Characters that an opening has at most."""

_AI = (
    r"(?:an? (?:ai|artificial intelligence)"
    r"(?:(?: language)? (?:model|assistant|system|program)\b|(?=[,.;!]| i\b| and\b))|a (?:large )?language model\b)"
)
_ABLE = (
    r"(?:cannot|can ?not|can't|can’t|am unable to|am not able to"
    r"|won't be able to|won’t be able to|am not programmed to)"
)
_WILL_NOT = r"(?:won't|won’t|will not|would not|wouldn't|wouldn’t)"
_DO = (
    r"(?:assist|help(?! (?:but|it|my|feel))|provide|comply|fulfill|fulfil|generate|answer|create|write|complete|access"
    r"|browse|offer|give(?! up)|do (?:that|this|so)|perform|support|share|discuss|engage|participate|respond|produce"
    r"|recommend(?![^.!?\n]{0,30}\b(?:enough|highly))|endorse|promote|facilitate|advise"
    r"|rewrite|rephrase|paraphrase|summari[sz]e|shorten|simplify|translate|evaluate|grade|assess"
    r"|(?:judge|rate|score|compare) (?:th(?:e|at|em|ese|is|ose)|either|your)\b)"
)
_BETWEEN = r"(?: (?!wait\b|imagine\b)[\w-]+){0,3}?"
"""Words between "I cannot" and what is declined: "in good conscience"."""
_NOT = r"(?:do not|don't|don’t)"

_ENGLISH = (
    rf"\b(?:(?:sorry|apologi[sz]e)\b[^.!?\n]{{0,30}}\bi(?: am|'m|’m)? ?(?:{_ABLE}|unable to|not able to)\b"
    r"(?! (?:wait|believe|imagine|help (?:but|feel\w*))\b)"
    r"|i(?:"
    rf"(?:'m|’m) (?:unable|not able) to{_BETWEEN} {_DO}\b"
    r"|(?:'m| am|’m) not (?:comfortable|allowed|permitted|programmed|designed) (?:to|with)\b"
    rf"| (?:{_ABLE}|{_WILL_NOT}){_BETWEEN} {_DO}\b"
    r"| (?:must|have to|need to|will have to) (?:respectfully |politely )?(?:decline|refuse)\b"
    r"| (?:respectfully |politely )?(?:decline|refuse) to\b"
    rf"| {_NOT} feel comfortable\b"
    rf"| {_NOT} have (?:the (?:ability|capability|capacity|means)\b"
    r"|access to (?:real-time|the internet|current|external|your|any)\b))"
    r"|(?:not possible|not appropriate|inappropriate|unethical|impossible) for me to\b"
    r"|something (?:that )?i (?:cannot|can't|can’t|am unable to|won't|won’t|will not)\b"
    r"|(?:goes|is) against my (?:programming|guidelines|principles|policy)\b)"
)
_ENGLISH_AI = (
    rf"\b(?:as {_AI}(?=[^.!?\n]{{0,80}}\b(?:i|my|me)\b)|i(?:'m| am|’m) (?:just |only )?{_AI}"
    rf"|i {_NOT} have (?:personal \w+|feelings\b))"
)


class _Declining(NamedTuple):
    """How one language declines.

    Attributes:
        hints: texts of which each refusal has one.
        act: an act that is declined.
        words: that, or the words of an assistant that speaks about itself ("as an AI").
    """

    hints: tuple[str, ...]
    act: re.Pattern[str]
    words: re.Pattern[str]


def _declining(hints: str, act: str, ai: str) -> _Declining:
    return _Declining(tuple(hints.split("|")), re.compile(act), re.compile(f"{act}|{ai}"))


LANGUAGES = {
    "English": _declining(
        "sorry|apolog|i can|i am |i'm |i’m |as an a|as a l|i will not|i won|i would|i must|i have to|i need to|decline"
        "|refuse|i do not|i don|for me to|something i|something that i|against my",
        _ENGLISH,
        _ENGLISH_AI,
    ),
    "German": _declining(
        "mir leid|mir sehr leid|leider|kann ich|ich kann|als ki|sprachmodell|künstliche intelligenz|bedau",
        r"\btut mir (?:sehr )?leid\b[^.!?\n]{0,80}\bkann\b|\b(?:ich bedau(?:e)?re)\b[^.!?\n]{0,80}\bkann\b"
        r"|\bleider (?:kann|darf) ich\b[^.!?\n]{0,80}\b(?:nicht|kein\w*)\b"
        r"|\b(?:kann ich|ich kann)(?: (?:dir|ihnen|euch|dabei|hierbei|damit|das|dies\w*))+[^.!?\n]{0,40}\bnicht\b",
        r"\bals (?:ki\b|ki-|(?:großes )?sprachmodell|künstliche intelligenz)",
    ),
    "Dutch": _declining(
        "spijt me|helaas|sorry|ik kan|als ai|taalmodel",
        r"\b(?:het spijt me|helaas|sorry)\b[^.!?\n]{0,40}\b(?:kan ik|ik kan)\b[^.!?\n]{0,60}\b(?:niet|geen)\b"
        r"|\bik kan (?:je|u|jou)\b[^.!?\n]{0,30}\bniet (?:helpen|bijstaan)",
        r"\bals (?:een )?(?:ai\b|ai-|groot taalmodel|taalmodel)",
    ),
    "French": _declining(
        "désol|je ne |en tant qu",
        r"\b(?:désolée?|je regrette|je m['’]excuse|excusez-moi)\b[^.!?\n]{0,100}\bje ne (?:peux|suis|pourrai|saurais)\b"
        r"|\bje ne (?:peux|pourrai|saurais|suis)(?: malheureusement)?(?: pas)?(?: en mesure| capable)?(?: de| d['’])?"
        r"(?: vous| t['’]| répondre à)* ?"
        r"(?:aider|assister|fournir|répondre|écrire|créer|générer|satisfaire|accéder|donner|partager)\b",
        r"\ben tant qu(?:['’](?:ia\b|intelligence artificielle|assistante? (?:ia|virtuel))|e modèle de langage)",
    ),
    "Italian": _declining(
        "dispiace|spiacente|non posso|in quanto|come modello|intelligenza artificiale",
        r"\b(?:mi dispiace|sono spiacente)\b[^.!?\n]{0,60}\bnon (?:posso|sono in grado|mi è possibile)\b"
        r"|\bnon posso (?:aiutar|assister|fornir|risponder|scriver|crear|generar|soddisfar)",
        r"\b(?:in quanto|come) (?:modello (?:linguistico|di linguaggio)|intelligenza artificiale"
        r"|assistente (?:ai|ia)\b)",
    ),
    "Portuguese": _declining(
        "desculpe|sinto muito|lamento|não posso|não consigo|como um modelo|como uma ia|como ia|inteligência artificial",
        r"\b(?:desculpe|sinto muito|lamento)\b[^.!?\n]{0,60}\bnão (?:posso|consigo|sou capaz|é possível)\b"
        r"|\bnão (?:posso|consigo) (?:ajudar|fornecer|responder|cumprir|gerar|criar|escrever|oferecer|auxiliar"
        r"|fazer isso)",
        r"\bcomo (?:um |uma )?(?:modelo de linguagem|ia\b|inteligência artificial|assistente (?:de ia|virtual))",
    ),
    "Spanish": _declining(
        "lo siento|disculp|lamento|no puedo|como ia|como una ia|modelo de lenguaje|modelo de ia|inteligencia artificial"
        "|asistente virtual|asistente de ia",
        r"\b(?:lo siento|disculp[ae]|lamento)\b[^.!?\n]{0,60}\bno (?:puedo|me es posible|es posible|soy capaz|tengo)\b"
        r"|\bno puedo (?:ayudar|asistir|proporcionar|responder|cumplir|generar|crear|escribir|ofrecer|brindar"
        r"|hacer eso)",
        r"\bcomo (?:un |una )?(?:gran )?(?:modelo de (?:lenguaje|ia)|ia\b|inteligencia artificial"
        r"|asistente (?:de ia|virtual))",
    ),
    "Russian": _declining(
        "извините|простите|сожал|прошу прощения|я не мог|как языковая|искусственный интеллект|как ии",
        r"(?:извините|простите|к сожалению|сожалею|прошу прощения)[^.!?\n]{0,60}\bне (?:могу|способ|имею)"
        r"|\bя не могу (?:вам |тебе )?(?:помочь|предоставить|ответить|выполнить|написать|создать|поделиться)",
        r"\bкак (?:большая )?(?:языковая модель|искусственный интеллект|ии\b)",
    ),
    "Chinese": _declining(
        "抱歉|对不起|對不起|遗憾|遺憾|不好意思|我无法|我無法|我不能|作为|作為",
        r"(?:抱歉|对不起|對不起|很遗憾|很遺憾|不好意思)[^。！？\n]{0,40}(?:无法|無法|不能|不会|不會|没有办法|沒有辦法|不便)"
        r"|我(?:无法|無法|不能)(?:提供|回答|帮助|幫助|协助|協助|满足|滿足|完成|生成|为您|為您|帮你|幫你)",
        r"作[为為](?:一个|一個|一名|一种)?(?:大型|大)?(?:人工智能|人工智慧|ai|语言模型|語言模型)",
    ),
    "Japanese": _declining(
        "申し訳|すみません|ごめんなさい|恐れ入り|aiとして|モデルとして|アシスタントとして|モデルなので|モデルである",
        r"(?:申し訳|すみません|ごめんなさい|恐れ入り)[^。！？\n]{0,80}(?:できません|できかね|出来ません|いたしかね|わかりません)",
        r"(?:ai|言語モデル|aiアシスタント)(?:として|である|なので|ですので)",
    ),
    "Korean": _declining(
        "죄송|미안|로서|언어 모델|인공지능",
        r"(?:죄송|미안)[^.!?\n]{0,60}(?:수 없|수는 없|어렵|못)",
        r"(?:ai|인공지능|언어 모델)(?:로서|이기 때문에|이므로|이라서)",
    ),
}
"""The languages, in the order in which they are asked."""
ASCII_HINT = re.compile(
    r"\b(?:a(?:polog|s an? [al]|ls [ak]i|gainst my|sistente)|bedau|com(?:e modello|o (?:uma? |una? )?(?:ia|modelo))"
    r"|de(?:cline|sculpe)|dis(?:culp|piace)|en tant qu|for me to|helaas"
    r"|i(?: (?:can|am |will not|won|would|must|have to|need to|do not|don)|'m |n quanto|ch kann|k kan)"
    r"|inteligencia artificial|je ne |kann ich|l(?:amento|eider|o siento)|mir (?:sehr )?leid|modelo de"
    r"|no(?:n posso| puedo)|refuse|s(?:orry|omething (?:that )?i|prachmodell|pijt me|piacente|into muito)|taalmodel"
    r"|intelligenza artificiale)"
)
"""Any hint that a text in ASCII may have. Most texts have none, and one pattern is faster than a look for each."""
_QUOTES = '"“”„«»「『'
_NOT_THE_ASSISTANT = re.compile(
    r"[\"“”„«»「『]|^\W*(?:dear|hi|hello|hey)\s+(?:[a-z]+\.?\s+)?[a-z]+\s*,|^\W*subject:"
    r"|\b(?:said|says|replied|wrote|answered|where|which|when|that|because|if|who|why)\s*$",
)
"""What stands before words that somebody else says: a quote, a letter's salutation, a subordinate clause."""
_FIRST_SENTENCE = re.compile(
    r"(?:[^.!?。！？\n]*\b(?:sorry|apolog\w+|thanks?|appreciate|understand)\b[^.!?。！？\n]*[.!?\n]+)?[^.!?。！？\n]*"
)
"""What stands before a refusal at the very beginning: nothing but words of its sentence, or an apology."""


def declining_words(text: str) -> str | None:
    """Return the words with which a text's opening declines, or speaks as an AI; None where it doesn't."""
    opening, lower = _opening(text)
    for match in _matches(lower, lambda language: language.words):
        if not _NOT_THE_ASSISTANT.search(lower, 0, match.start()):
            shown = opening if len(opening) == len(lower) else lower  # İ is longer in lower case
            return shown[match.start() : match.end()]
    return None


def declines(text: str) -> bool:
    """Tell whether a text begins by declining an act."""
    _, lower = _opening(text)
    return any(
        _FIRST_SENTENCE.fullmatch(lower, 0, match.start()) and not _NOT_THE_ASSISTANT.search(lower, 0, match.start())
        for match in _matches(lower, lambda language: language.act)
    )


def _opening(text: str) -> tuple[str, str]:
    """Return a text's opening, in NFC, as it is and in lower case."""
    opening = _unquoted(text[: _OPENING + 2])
    if not opening.isascii():
        opening = normalize("NFC", opening)
    return opening, opening.lower()


def _matches(lower: str, pattern: Callable[[_Declining], re.Pattern[str]]) -> Iterator[re.Match[str]]:
    """Yield each language's first words of declining in an opening."""
    if lower.isascii() and not ASCII_HINT.search(lower):
        return
    for language in LANGUAGES.values():
        if any(hint in lower for hint in language.hints):
            match = pattern(language).search(lower)
            if match is not None:
                yield match


def _unquoted(text: str) -> str:
    """Return an opening without the quotes around an answer that is quoted as a whole."""
    text = text.strip()
    is_quoted = text[:1] in _QUOTES and text[-1:] in _QUOTES and not any(mark in text[1:-1] for mark in _QUOTES)
    return text[1:-1] if text and is_quoted else text[:_OPENING]
