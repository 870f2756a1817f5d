"""CoNaLa: Python snippets for what someone wants to do (Yin et al. 2018).

Several snippets may answer one question of Stack Overflow; they make one group.
"""

from __future__ import annotations

from tunescope.questions.documents import Doc
from tunescope.verbs.falsify.source import Item, Source


def _read(record: Doc) -> Item:
    intent, code = (record.get("rewritten_intent") or record["intent"]).strip(), record["snippet"].strip()
    if not intent or not code:
        raise ValueError("an intent or a snippet without text")
    number = str(record["question_id"])
    question = f"Write Python code for this: {intent}"
    return Item(question=question, code=code, item_id=number, group=number, original=intent)


SOURCE = Source(
    name="conala",
    domain="programming",
    about="Python snippets, most of one line.",
    licence="neulab/conala, curated; MIT, texts from Stack Overflow (CC-BY-SA)",
    train=("conala/train",),
    n_train=2379,
    columns=("question_id", "intent", "snippet"),
    read=_read,
)
