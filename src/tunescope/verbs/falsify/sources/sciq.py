"""SciQ: secondary-school science with four options (Welbl et al. 2017). Its licence allows no commercial use.

A record has the right answer and three wrong ones in no order. A hash of question and option orders them, so that the
right one's letter is no clue.
"""

from __future__ import annotations

from hashlib import sha256

from tunescope.questions.documents import Doc
from tunescope.verbs.falsify.source import Item, Source, labelled_item, letter_of

_OPTIONS = ("correct_answer", "distractor1", "distractor2", "distractor3")


def _read(record: Doc) -> Item:
    columns = sorted(_OPTIONS, key=lambda name: sha256(f"{record['question']}\n{record[name]}".encode()).digest())
    letters = [letter_of(number) for number in range(len(columns))]
    key = letters[columns.index("correct_answer")]
    texts = [record[name] for name in columns]
    return labelled_item(record["question"], texts, letters, key, explanation=str(record.get("support") or ""))


SOURCE = Source(
    name="sciq",
    domain="domain knowledge",
    about="Secondary-school science.",
    licence="allenai/sciq; CC-BY-NC-3.0, which allows no commercial use",
    train=("sciq/train", "restricted/sciq/train"),
    n_train=11_679,
    columns=("question", *_OPTIONS),
    read=_read,
    stand_ins=("sciq/train_from_test", "restricted/sciq/train_from_test"),
)
