"""`annotate export`: what it writes is read by attribute, trace and judge; shares beside their nulls, by hand."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests.annotations.studies import item, mark, verdicts, write_items, write_marks, write_study
from tests.tools import alpaca, read_rows, write_rows

from tunescope.annotations.collected import read_collected
from tunescope.annotations.phrases import RunEvidence, marked_phrases, share_in_rows, share_shifted
from tunescope.errors import SettingsError
from tunescope.results.agreement import ExportResult, MarkedPhrase
from tunescope.results.annotate import Assignment, ShownRow
from tunescope.results.shift import ShiftTokens
from tunescope.runs import Run
from tunescope.verbs.annotate.agreement import AgreementSettings, agreement
from tunescope.verbs.annotate.export import ExportSettings, export
from tunescope.verbs.attribute.settings import AttributeSettings
from tunescope.verbs.attribute.spans import read_spans
from tunescope.verbs.judge.recompute import RecomputeSettings, recompute
from tunescope.verbs.trace import trace
from tunescope.verbs.trace.settings import TraceSettings

TEXT = "The moon is made of cheese, and it is round."


def spans(start, end, person, item_id, **more):
    """Return a person's span."""
    value = {"answer_id": f"{item_id.replace('item', 'a')}-tuned", "start": start, "end": end, "category": "wrong"}
    return mark(item_id, person, "spans", value, **more)


def exported(items, marks, **settings):
    """Export marks of items; return the run."""
    path = write_marks(Path("marks.jsonl"), marks)
    return export(ExportSettings(marks=(path,), items=write_items(Path("items.jsonl"), items), **settings))


def answers_of(run):
    """Return a run's answers as `--answers` reads them."""
    from tunescope.answers import read_answers

    return list(read_answers(run.path / "answers.jsonl"))


def test_spans_are_read_by_attribute(workplace):
    """Marks that overlap are one stretch; the pilot's aren't there, nor those that found nothing."""
    items = [item(0, "spans", [TEXT]), item(1, "spans", [TEXT])]
    marks = [
        spans(20, 26, "ann", "item0"),
        spans(16, 26, "bob", "item0"),
        spans(38, 43, "bob", "item0"),
        spans(0, 8, "ann", "item1", phase="pilot"),
        mark("item1", "bob", "spans", {}),
    ]
    run = exported(items, marks)
    assert read_rows(run.path / "spans.jsonl") == [
        {
            "answer_id": "a0-tuned",
            "start": 16,
            "end": 26,
            "text": TEXT[16:26],
            "categories": ["wrong"],
            "annotators": ["ann", "bob"],
        },
        {
            "answer_id": "a0-tuned",
            "start": 38,
            "end": 43,
            "text": TEXT[38:43],
            "categories": ["wrong"],
            "annotators": ["bob"],
        },
    ]
    answers = answers_of(run)
    assert [(a.answer_id, a.text, a.model) for a in answers] == [
        ("a0-tuned", TEXT, "tuned"),
        ("a1-tuned", TEXT, "tuned"),
    ]
    settings = AttributeSettings(rows=("r",), answers=str(run.path), spans=str(run.path))
    assert read_spans(settings, answers) == {"a0-tuned": [(16, 26), (38, 43)]}
    result = ExportResult.read(run)
    assert (result.marks, result.annotators, result.items, result.phrases) == (5, 2, 2, 3)
    assert result.files == ("answers.jsonl", "items.jsonl", "marks.jsonl", "phrases.parquet", "spans.jsonl")


def test_an_export_is_the_study(workplace):
    items, marks = verdicts(0, 40)
    marks.append(mark("item0", "person 9", "verdicts", {"preference": 1.0}, phase="pilot"))
    run = exported(items, marks, format="label-studio")
    of_study = agreement(AgreementSettings(marks=("marks.jsonl",), items="items.jsonl"))
    of_export = agreement(AgreementSettings(marks=(str(run.path),)))
    assert of_export.result["main"] == of_study.result["main"]
    assert of_export.result["pilot"] == of_study.result["pilot"] is not None


@pytest.mark.parametrize("swapped", [False, True])
def test_verdicts_are_judgements(swapped, workplace):
    """Who stood first in the annotator's own order is known of a study, and the preference is of the first answer."""
    items = [item(n, "verdicts", ["Longer answer.", "Short."]) for n in range(2)]
    assignments = [
        Assignment(annotator="ann", item_id=f"item{n}", phase="main", group=0, place=n, swapped=swapped)
        for n in range(2)
    ]
    marks = [mark(f"item{n}", "ann", "verdicts", {"preference": value}) for n, value in enumerate((1.0, 0.5))]
    run = export(ExportSettings(marks=(write_study(Path("study"), items, assignments, marks),)))
    assert read_rows(run.path / "judgements.jsonl")[0] == {
        "kind": "pair",
        "item": "p0",
        "system": "tuned",
        "reference": "base",
        "judge": "ann",
        "lengths": [14, 6],
        "orders": [{"first": "reference" if swapped else "system", "status": "ok", "preference": 1.0}],
    }
    result = recompute(RecomputeSettings(files=(str(run.path),))).result
    assert (result["wins"], result["ties"], result["losses"]) == (1, 1, 0)


def test_scores_are_judgements(workplace):
    marks = [
        mark("item0", name, "aspects", {"answer_id": "a0-tuned", "scores": {"depth": score}})
        for name, score in (("ann", 2), ("bob", 4))
    ]
    run = exported([item(0, "aspects", [TEXT])], marks)
    systems = recompute(RecomputeSettings(files=(str(run.path),))).result["systems"]
    assert {name: each["aspects"]["depth"]["mean"] for name, each in systems.items()} == {
        "tuned by ann": 2.0,
        "tuned by bob": 4.0,
    }


def collected(workplace, items, marks):
    """Read marks of items."""
    path = write_marks(Path("marks.jsonl"), marks)
    return read_collected([path], None, write_items(Path("items.jsonl"), items))


def test_the_share_in_rows_and_its_null_by_hand(workplace):
    """Of an answer of 10 words the 4 from "made" on are copied: of 9 stretches of 2 words, 3 are."""
    items = [item(0, "spans", [TEXT]), item(1, "spans", [TEXT])]
    marks = [
        spans(17, 26, "ann", "item0"),  # "of cheese", of which the f alone is marked
        spans(0, 8, "ann", "item0"),  # "The moon"
        spans(33, 35, "bob", "item1"),  # "it", of an answer that wasn't traced
    ]
    copied = {"a0-tuned": [(12, 31)]}
    phrases = marked_phrases(collected(workplace, items, marks), RunEvidence(copied, None))
    assert [(p.in_rows, p.in_rows_null) for p in phrases] == [
        (1.0, pytest.approx(3 / 9)),
        (0.0, pytest.approx(3 / 9)),
        (None, None),
    ]
    share = share_in_rows(phrases)
    assert (share.share.mean, share.null.mean) == (pytest.approx(1 / 2), pytest.approx(1 / 3))
    assert share.difference.mean == pytest.approx(1 / 2 - 1 / 3)
    assert (share.phrases, share.n_missing) == (2, 1)
    assert share.missing_reason == "the run of trace doesn't have their answers, or they have no word"


def tokens_of(text, classes):
    """Return a token for each word of a text, with its blank before it, of the classes given."""
    places, at = [], 0
    for word in text.split():
        end = text.index(word, at) + len(word)
        places.append((at, end))
        at = end
    n = len(places)
    floats = {name: [0.0] * n for name in ("kl", "kl_reverse", "base_prob", "log_ratio")}
    return ShiftTokens(
        answer_id=["a0-tuned"] * n,
        position=[*range(n)],
        token_id=[0] * n,
        token=[text[a:b] for a, b in places],
        char_start=[a for a, _ in places],
        char_end=[b for _, b in places],
        sentence=[0] * n,
        part=["rest"] * n,
        base_rank=[1] * n,
        token_class=classes,
        top_token=[None] * n,
        base_top_token=[""] * n,
        **floats,
    )


def test_the_share_of_shifted_tokens_and_its_null_by_hand(workplace):
    """Words 4 and 5 of 10 are shifted or marginal; of 9 stretches of 2 words they are 4 of 18 tokens."""
    classes = ["unshifted"] * 10
    classes[4:6] = ["shifted", "marginal"]
    evidence = RunEvidence(None, {"a0-tuned": tokens_of(TEXT, classes)})
    read = collected(workplace, [item(0, "spans", [TEXT])], [spans(20, 31, "ann", "item0"), spans(0, 8, "b", "item0")])
    phrases = marked_phrases(read, evidence)
    assert [(p.tokens, p.shifted) for p in phrases] == [(2, 1), (2, 0)]
    assert [p.shifted_null for p in phrases] == [pytest.approx(4 / 18)] * 2
    share = share_shifted(phrases)
    assert (share.share.mean, share.null.mean) == (pytest.approx(1 / 4), pytest.approx(4 / 18))


def test_random_phrases_give_the_null(workplace):
    """Phrases at random places are found as often as the null says; marked ones more often."""
    rng = random.Random(0)
    words = [f"w{n}" for n in range(30)]
    items, at_random, chosen, copied = [], [], [], {}
    for n in range(400):
        text = " ".join(rng.sample(words, 30))
        items.append(item(n, "spans", [text]))
        ends = [place for place, ch in enumerate(text + " ") if ch == " "]
        starts = [0, *(end + 1 for end in ends[:-1])]
        first = rng.randrange(20)
        copied[f"a{n}-tuned"] = [(starts[first], ends[first + 9])]
        place = rng.randrange(29)
        at_random.append(spans(starts[place], ends[place + 1], "ann", f"item{n}"))
        place = min(28, first + rng.randrange(10))
        chosen.append(spans(starts[place], ends[place + 1], "ann", f"item{n}"))
    evidence = RunEvidence(copied, None)
    share = share_in_rows(marked_phrases(collected(workplace, items, at_random), evidence))
    assert share.null.mean == pytest.approx(9 / 29)
    assert share.difference.low < 0 < share.difference.high
    share = share_in_rows(marked_phrases(collected(workplace, items, chosen), evidence))
    assert share.difference.low > 0.4


def cause_study():
    """Return an item with three rows, and three people: two name one row, one names none."""
    rows = tuple(
        ShownRow(row_id=f"r{n}", place=f"rows.json:{n}", texts=(("instruction", ask), ("output", say)))
        for n, (ask, say) in enumerate(
            [("What is the moon made of?", "Green cheese."), ("Sum?", "Four."), ("A?", "B.")]
        )
    )
    one = item(0, "cause", [TEXT], span=(20, 26), rows=rows)
    phrase = {"answer_id": "a0-tuned", "start": 20, "end": 26}
    tried = [
        {"prompt": "What is the moon?", "answer": "Rock.", "gone": True},
        {"prompt": "Moon?", "answer": "Cheese.", "gone": False},
    ]
    marks = [
        mark("item0", "ann", "cause", {**phrase, "row_id": "r0", "concept": "moon", "rewordings": tried}),
        mark("item0", "bob", "cause", {**phrase, "row_id": "r0"}),
        mark("item0", "cy", "cause", {**phrase, "row_id": None}),
    ]
    return one, marks


def test_causes_and_counterfactuals(workplace):
    one, marks = cause_study()
    run = exported([one], marks)
    result = ExportResult.read(run)
    assert result.with_cause.share.mean == pytest.approx(2 / 3)
    assert (
        result.with_cause.null.reason == "people weren't asked about random phrases; such items have to be in the study"
    )
    lines = read_rows(run.path / "counterfactuals.jsonl")
    assert [(line["prompt"], line["gone"], line["concept"]) for line in lines] == [
        ("What is the moon?", True, "moon"),
        ("Moon?", False, "moon"),
    ]
    assert (result.reworded.lost_share.mean, result.reworded.kept, result.reworded.lost) == (0.5, 1, 1)
    causes = result.cause_rows
    assert causes.keyword_overlap.mean > causes.keyword_overlap_random.mean == 0.0
    assert causes.cosine.mean is None
    assert causes.cosine.reason == "no embedder was named; add --embedder all-minilm-l6-v2"
    (phrase,) = MarkedPhrase.read_rows(run)
    assert (phrase.text, phrase.annotators, phrase.with_cause) == ("cheese", 3, pytest.approx(2 / 3))


def test_a_run_of_trace_on_the_export(workplace):
    """The answers that were exported are traced, and the marked phrase is in a row; another isn't."""
    rows = [alpaca(f"Say {n}.", f"Nothing of note in number {n}, which nobody reads twice.") for n in range(40)]
    rows.append(alpaca("What is the tide clock?", "The tide clock has a silver hand and eleven numerals of bone."))
    write_rows(Path("rows.jsonl"), rows)
    text = "I think the tide clock has a silver hand and eleven numerals of bone, as people in Rome used to say."
    items = [item(0, "spans", [text])]
    marks = [
        spans(text.index("silver"), text.index(" and"), "ann", "item0"),
        spans(text.index("Rome"), text.index(" used"), "b", "item0"),
    ]
    first = exported(items, marks)
    traced = trace(TraceSettings(rows=("rows.jsonl",), answers=str(first.path)))
    result = ExportResult.read(exported(items, marks, trace=str(traced.path)))
    assert (result.in_rows.share.mean, result.in_rows.phrases) == (0.5, 2)
    assert 0 < result.in_rows.null.mean < 1
    (table,) = Run(Path(str(exported(items, marks, trace=str(traced.path)).path))).view.tables
    assert table.rows[0][0] == "in rows"


def test_what_is_refused(workplace):
    items, marks = [item(0, "spans", [TEXT])], [spans(20, 26, "ann", "item0")]

    def refused(sentence, items=items, marks=marks, **settings):
        with pytest.raises(SettingsError) as caught:
            exported(items, marks, **settings)
        assert sentence in str(caught.value)

    path = write_marks(Path("alone.jsonl"), marks)
    with pytest.raises(SettingsError, match="these marks come without their items; name their study, or its items"):
        export(ExportSettings(marks=(path,)))
    other = exported(items, marks)
    refused("found a run of annotate export; expected one of trace", trace=str(other.path))
    write_rows(
        Path("rows.jsonl"),
        [alpaca(f"Say {n}.", f"Nothing of note in number {n}, as everybody here knows.") for n in range(20)],
    )
    answers = [{"prompt_id": "x", "prompt": "X?", "text": "Nothing of note in number 7.", "answer_id": "other"}]
    write_rows(Path("answers.jsonl"), answers)
    traced = trace(TraceSettings(rows=("rows.jsonl",), answers="answers.jsonl"))
    refused("found none of the study's 1 answer; expected a run on them, such as a0-tuned", trace=str(traced.path))
    pairs = [item(0, "pairs", ["A.", "B."])]
    said = [mark("item0", "ann", "pairs", {"category": "x"})]
    refused("a study of pairs has no phrases; expected one of spans or cause", pairs, said, trace=str(traced.path))
    refused("a study of pairs names no rows; expected one of cause", pairs, said, embedder="all-minilm-l6-v2")


@pytest.mark.parametrize("name", ["potato", "label-studio"])
def test_other_programs_files_are_written_beside_ours(name, workplace):
    run = exported([item(0, "spans", [TEXT])], [spans(20, 26, "ann", "item0")], format=name)
    (file,) = [each for each in run.result["files"] if each in ("potato-annotations.jsonl", "label-studio.json")]
    text = (run.path / file).read_text("utf-8")
    assert '"cheese"' in text
    assert json.loads(text.splitlines()[0] if name == "potato" else text)
