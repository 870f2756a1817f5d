"""Settings: ranges, choices and aliases are checked alike on the command line, in recipes and in Python."""

from __future__ import annotations

from dataclasses import fields
from math import inf, nan
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

import tunescope
from tests.tools import alpaca, write_rows
from tunescope import cli, study
from tunescope.errors import SettingsError, UsageError
from tunescope.settings import Range, above, as_option, at_least, is_required, make, resolve_alias
from tunescope.verbs import VERBS
from tunescope.verbs.tune import TuneSettings

COUNTS = "at least 1"
ORACLE = {
    "temperature": "at least 0",
    "max_new_tokens": COUNTS,
    "concurrency": COUNTS,
    "timeout": "above 0",
    "deadline": "above 0",
    "max_tokens_total": COUNTS,
    "max_cost": "above 0",
}
JUDGE = {**ORACLE, "min_overlap": "at least 0 and at most 1", "limit": COUNTS, "draws": "at least 100"}
RANGES = {
    "check": {"max_words": COUNTS, "near_duplicate_at": "above 0 and at most 1", "workers": COUNTS},
    "select": {
        "top": "at least 0",
        "sample": "at least 0",
        "tokens": COUNTS,
        "max_length": COUNTS,
        "part": "above 0 and at most 1",
    },
    "repair rate": {**ORACLE, "scale": COUNTS},
    "repair simplify": ORACLE,
    "repair correct": ORACLE,
    "repair reflect": ORACLE,
    "repair evolve": {**ORACLE, "rounds": COUNTS},
    "falsify build": {**ORACLE, "per_source": COUNTS, "tries": COUNTS},
    "study run": {"workers": COUNTS},
    "tune": {
        "epochs": "above 0",
        "max_steps": COUNTS,
        "lr": "above 0 and below 1",
        "warmup": "at least 0 and below 1",
        "batch_size": COUNTS,
        "micro_batch": COUNTS,
        "max_length": COUNTS,
        "lora_rank": COUNTS,
        "neftune_alpha": "above 0",
        "checkpoint_minutes": "at least 0",
    },
    "answer": {
        "max_new_tokens": COUNTS,
        "temperature": "above 0",
        "top_p": "above 0 and at most 1",
        "n": COUNTS,
        "limit": COUNTS,
        "batch_size": COUNTS,
        "concurrency": COUNTS,
        "timeout": "above 0",
        "deadline": "above 0",
        "workers": COUNTS,
    },
    "measure": {"workers": COUNTS},
    "shift": {"top_k": COUNTS, "max_new_tokens": COUNTS, "limit": COUNTS, "batch_size": COUNTS, "workers": COUNTS},
    "trace": {"false_positive_rate": "above 0 and below 1", "top": COUNTS, "workers": COUNTS},
    "attribute": {
        "max_length": COUNTS,
        "sketch": COUNTS,
        "workers": COUNTS,
        "candidates": COUNTS,
        "top": COUNTS,
        "by_chance": "above 0",
        "constant": "at least 0",
    },
    "attribute index": {"max_length": COUNTS, "sketch": COUNTS, "workers": COUNTS},
    "judge winrate": JUDGE,
    "judge pairwise": JUDGE,
    "judge aspects": JUDGE,
    "bench": {
        "limit": COUNTS,
        "shots": "at least 0",
        "exemplar_seeds": "at least 2",
        "parity_check": "at least 0",
        "n": COUNTS,
        "temperature": "at least 0",
        "top_p": "above 0 and at most 1",
        "max_new_tokens": COUNTS,
        "batch_size": COUNTS,
        "workers": COUNTS,
    },
    "study analyze": {"examples": COUNTS},
    "compare": {"no_harm": "above 0 and below 100"},
    "annotate agreement": {"points": "above 0 and at most 50"},
    "judge claims": {"margin": "above 0 and below 1"},
    "judge recompute": {"limit": COUNTS, "draws": "at least 100"},
    "annotate create": {
        "limit": COUNTS,
        "annotators": COUNTS,
        "pilot": "at least 0",
        "groups": COUNTS,
        "groups_each": COUNTS,
        "rows_each": COUNTS,
    },
    "annotate serve": {"port": "at least 0 and at most 65535", "max_new_tokens": COUNTS, "timeout": "above 0"},
}
"""Every verb's settings with a range, and the range."""


def test_what_ranges_say_and_hold():
    assert str(at_least(0, at_most=1)["range"]) == "at least 0 and at most 1"
    assert str(above(0, below=1)["range"]) == "above 0 and below 1"
    assert above(0, hint="such as 5")["range"].expectation == "above 0; such as 5"
    assert [number in Range(0, 1) for number in (-0.1, 0, 0.5, 1, 1.1)] == [False, True, True, True, False]
    opened = Range(0, 1, open_low=True, open_high=True)
    assert [number in opened for number in (0, 1e-9, 1 - 1e-9, 1)] == [False, True, True, False]
    assert [number in Range(0) for number in (0, 1e300, inf, -inf, nan)] == [True, True, False, False, False]


@pytest.mark.parametrize("name", VERBS)
def test_every_range(name):
    declared = {f.name: str(f.metadata["range"]) for f in fields(VERBS[name].settings_class()) if "range" in f.metadata}
    assert declared == RANGES.get(name, {})


def needed(settings: type[Any]) -> dict[str, Any]:
    """Return values for the settings without a default."""
    hints = get_type_hints(settings)
    words = {name: get_args(hint)[0] for name, hint in hints.items() if get_origin(hint) is Literal}
    return {
        f.name: 0.5 if hints[f.name] is float else words.get(f.name, "x") for f in fields(settings) if is_required(f)
    }


CASES = [(name, field) for name, ranges in RANGES.items() for field in ranges]


@pytest.mark.parametrize(("name", "field"), CASES)
def test_what_lies_outside_a_range_is_refused(name, field):
    settings = VERBS[name].settings_class()
    limits: Range = settings.__dataclass_fields__[field].metadata["range"]
    whole = int in (get_type_hints(settings)[field], *get_args(get_type_hints(settings)[field]))
    outside = [limits.low - 1, *([limits.low] if limits.open_low else []), *([] if whole else [nan, inf])]
    outside += [] if limits.high == inf else [limits.high + 1, *([limits.high] if limits.open_high else [])]
    for number in outside:
        value = int(number) if whole else float(number)
        with pytest.raises(UsageError, match=rf"^{field} {value}: expected {limits}"):
            make(settings, {**needed(settings), field: value})
    inside = limits.low + (0 if not limits.open_low else 0.5)
    made = make(settings, {**needed(settings), field: int(inside) if whole else float(inside)})
    assert getattr(made, field) == inside


def test_one_error_in_three_contexts(workplace, capsys):
    rows = str(write_rows(workplace / "rows.jsonl", [alpaca("How?", "So.")]))
    assert cli.run(["check", rows, "--near-duplicate-at", "1.5"]) == 2
    assert capsys.readouterr().err.startswith("tunescope: --near-duplicate-at 1.5: expected above 0 and at most 1\n")
    with pytest.raises(SettingsError, match=r"^near_duplicate_at 1.5: expected above 0 and at most 1$"):
        tunescope.check(rows, near_duplicate_at=1.5)
    recipe = f"steps: {{c: {{verb: check, rows: {rows}, near_duplicate_at: 1.5}}}}"
    Path("recipe.yaml").write_text(recipe)
    with pytest.raises(SettingsError, match=r"step c: near_duplicate_at 1.5: expected above 0 and at most 1$"):
        study.read("recipe.yaml")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "rows and oracle are missing"),
        (
            {"rows": "r", "operations": ("deepen", "widen"), "oracle": "x"},
            "operations ('deepen', 'widen'): expected ",
        ),
        ({"rows": "r", "operations": (), "oracle": "x"}, "operations (): expected constraints, deepen, concretise"),
        (
            {"rows": "r", "operations": "deepen", "oracle": "x", "Oracle": "y"},
            "Oracle: no such setting; did you mean",
        ),
        ({"rows": ("r", "a\0b"), "oracle": "x"}, r"rows ('r', 'a\x00b'): found a NUL, which no file's name can hold"),
        ({"rows": "r", "oracle": "a\0b"}, r"oracle 'a\x00b': found a NUL, which no file's name can hold"),
    ],
)
def test_what_cannot_be_made(values, sentence):
    with pytest.raises(UsageError) as caught:
        make(VERBS["repair evolve"].settings_class(), values)
    assert str(caught.value).startswith(sentence)


def test_an_alias_works_on_the_command_line_in_recipes_and_in_python(workplace):
    made = make(TuneSettings, {"rows": "r", "learning_rate": 1e-3})
    assert made == make(TuneSettings, {"rows": "r", "lr": 1e-3})
    assert cli.arguments.with_our_names("tune", ["tune", "r", "--learning_rate=0.1", "--num-train-epochs", "2"]) == [
        *("tune", "r", "--lr=0.1", "--epochs", "2")
    ]
    with pytest.raises(UsageError, match="learning_rate: lr is given twice"):
        make(TuneSettings, {"rows": "r", "lr": 1e-3, "learning_rate": 1e-3})
    write_rows(workplace / "rows.jsonl", [alpaca("How?", "So.")])
    Path("recipe.yaml").write_text("steps: {t: {verb: tune, rows: rows.jsonl, learning_rate: 0.1, cutoff_len: 0}}")
    with pytest.raises(SettingsError, match="step t: max_length 0: expected at least 1"):
        study.read("recipe.yaml")


@pytest.mark.parametrize("name", VERBS)
def test_no_two_settings_of_a_verb_share_a_name_or_alias(name):
    settings = VERBS[name].settings_class()
    words: list[str] = []
    for f in fields(settings):
        aliases = f.metadata.get("alias", ())
        assert [resolve_alias(settings, alias) for alias in aliases] == [f.name] * len(aliases)
        words += [f.name, *aliases, *f.metadata.get("near", ())]
    assert len(words) == len(set(words))
    assert len({as_option(f.name) for f in fields(settings)}) == len(fields(settings))
