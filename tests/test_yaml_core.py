"""YAML 1.2's plain scalars, and keys that stand once."""

from __future__ import annotations

import math

import pytest
import yaml

from tunescope.yaml_core import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E+3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("-7", -7),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2026-11-29", "2026-11-29"),
        ("on", "on"),
        ("no", "no"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("e4", "e4"),
        ("'1e-4'", "1e-4"),
    ],
)
def test_scalars(text, value):
    assert read_yaml(f"key: {text}") == {"key": value}
    assert type(read_yaml(f"key: {text}")["key"]) is type(value)


def test_not_a_number():
    assert math.isnan(read_yaml(".nan"))


def test_a_merged_key():
    assert read_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}


def test_a_key_that_stands_twice():
    with pytest.raises(yaml.YAMLError, match="'x' is there twice"):
        read_yaml("{x: 1, x: 2}")
