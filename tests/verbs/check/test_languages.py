"""Rows in other languages: words with their marks, composed and decomposed copies, scripts without spaces."""

from __future__ import annotations

import json
import unicodedata

from tests.tools import alpaca, write_rows

from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.measure import MeasureSettings, measure

HINDI = "सूर्य की गर्मी से समुद्र का पानी भाप बनकर ऊपर उठता है और बादल बनाता है।"
THAI = (
    "ท้องฟ้าสีฟ้าในตอนเช้าและนกร้องเพลงบนต้นไม้สูง",
    "นักเรียนอ่านหนังสือเกี่ยวกับประวัติศาสตร์ของเมืองเก่าในห้องสมุด",
    "แม่ทำอาหารอร่อยกับข้าวและผักและเครื่องเทศเผ็ดร้อน",
)
FRENCH = "Chauffez la crème et la vanille, versez-la sur les jaunes battus, puis cuisez le mélange, réfrigérez."


def checked(folder, *records):
    return check(CheckSettings(rows=(str(write_rows(folder / "rows.jsonl", list(records))),)))


def test_hindi_words_are_counted_whole(workplace):
    path = str(write_rows(workplace / "rows.jsonl", [alpaca("हिन्दी में जल चक्र समझाइए।", HINDI)]))
    (row,) = check(CheckSettings(rows=(path,))).tables["rows"].to_pylist()
    assert (row["words"], row["characters"]) == (5 + 16, 0)
    lengths = measure(MeasureSettings(rows=(path,), without=("perplexity", "coherence")))
    assert lengths.result["summary"]["response_words"]["mean"] == 16
    assert compare(CompareSettings(a=path, b=path)).result["summary"]["response_words"]["a"]["mean"] == 16


def test_1040_hindi_words_are_not_very_long(workplace):
    run = checked(workplace, alpaca("", " ".join([HINDI] * 65)), alpaca("", " ".join([HINDI] * 94)))
    assert run.tables["rows"]["words"].to_pylist() == [1040, 1504]
    assert run.tables["rows"]["very_long"].to_pylist() == [False, True]


def test_he_and_she_are_different_words_in_hindi(workplace):
    he, she = "वह रोज़ सुबह बाज़ार जाता है और फल लाता है", "वह रोज़ सुबह बाज़ार जाती है और फल लाती है"
    run = checked(workplace, alpaca("Translate: he does", he), alpaca("Translate: she does", she))
    assert run.result["faults"]["near_duplicate"] == 0


def test_composed_and_decomposed_copies_are_duplicates(workplace):
    copies = [
        alpaca(*(unicodedata.normalize(form, text) for text in ("Décrivez la crème.", FRENCH)))
        for form in ("NFC", "NFD")
    ]
    run = checked(workplace, *copies)
    assert run.result["faults"]["near_duplicate"] == 1
    assert run.result["faults"]["conflicting_answers"] == 0
    assert run.tables["faults"]["detail"][0].as_py().startswith("1.000 like")


def test_curly_and_straight_copies_are_duplicates(workplace):
    text = "I don't think that it's the same; she said \"no\" and it isn't."
    curly = text.replace("'", "’").replace('"no"', "“no”")
    run = checked(workplace, alpaca("Is it so?", text), alpaca("Is it so?", curly))
    assert (run.result["faults"]["near_duplicate"], run.result["faults"]["conflicting_answers"]) == (1, 0)


def test_faults_of_words_are_not_asked_of_scripts_without_spaces(workplace):
    texts = [*THAI, "是", "夕食に行くつもりです。", "字" * 2000, "ภาษาไทย " + "word " * 1501]
    run = checked(workplace, *(alpaca(f"Question {i}", text) for i, text in enumerate(texts)), alpaca("Yes?", "Yes."))
    table = run.tables["rows"].to_pydict()
    assert table["one_word_answer"] == [False] * 7 + [True]
    assert table["very_long"] == [False] * 6 + [True, False]
    assert table["characters"] == [36, 48, 39, 1, 10, 2000, 7, 0]
    assert run.result["rows_in_characters"] == 7
    assert run.view.sentences[2] == (
        "7 rows have text in scripts without spaces between words. Each of its characters counts as a word, and "
        "one_word_answer and very_long aren't looked for there."
    )
    assert json.loads(json.dumps(run.result))["rows_in_characters"] == 7
