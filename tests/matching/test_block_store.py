"""Records in compressed blocks: what is written is read, by number and in order; damage is an error."""

from __future__ import annotations

import zlib
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope.matching.block_store import BlockStore, write_blocks
from tunescope.runs import RunFolder

SIMPLE = st.none() | st.integers() | st.text(max_size=9)
JSON = st.recursive(SIMPLE, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


def blocks_of(records, size):
    stream = iter(records)
    while block := list(islice(stream, size)):
        yield block


def stored(path, records, size):
    write_blocks(RunFolder(path, "key"), blocks_of(records, size))
    return BlockStore(path, size, lambda record: record)


@given(st.lists(JSON, max_size=40), st.integers(1, 9), st.integers(0, 50), st.integers(0, 50))
def test_records_come_back_by_number_and_in_order(tmp_path_factory, records, size, start, end):
    store = stored(tmp_path_factory.mktemp("store"), records, size)
    assert [store[number] for number in range(len(records))] == records
    assert list(store.values()) == records
    assert list(store.values(start)) == records[start:]
    assert list(store.values(start, end)) == records[start:end]
    with pytest.raises(IndexError):
        store[len(records)]


def test_more_blocks_than_are_kept_in_memory(tmp_path):
    store = stored(tmp_path, range(300), 3)
    order = [*range(0, 300, 7), *range(299, -1, -5)]
    assert [store[number] for number in order] == order


def test_values_are_made_of_records(tmp_path):
    write_blocks(RunFolder(tmp_path, "key"), [[["a", 1]], [["b", 2]]])
    assert [*BlockStore(tmp_path, 1, tuple).values()] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("damage", [b"", b"no zlib", zlib.compress(b"no json")])
def test_a_damaged_block_is_an_error(tmp_path, damage):
    store = stored(tmp_path, [1, 2, 3], 2)
    (tmp_path / "rows.bin").write_bytes(damage)
    with pytest.raises((ValueError, zlib.error)):
        store[0]
