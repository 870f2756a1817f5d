"""Personal links: entered, revoked, and never kept as they are."""

from __future__ import annotations

from tunescope.annotations.access import Access, csrf_token, is_csrf_token
from tunescope.annotations.store import MARKS_FILE, MarkStore


def test_links_and_sessions(tmp_path):
    with MarkStore(tmp_path) as store:
        access = Access(store)
        assert not access.has_link("A1")
        token, other = access.make_link("A1"), access.make_link("A2")
        assert access.has_link("A1")
        session = access.enter(token)
        assert access.name_of(session) == "A1"
        assert access.name_of(access.enter(other)) == "A2"
        assert access.name_of(access.enter(token)) == "A1"  # a second browser
        for wrong in ("", "x", token[:-1], token + "\ud800"):
            assert access.enter(wrong) is None
            assert access.name_of(wrong) is None
        assert access.enter(session) is None
        assert access.name_of(token) is None


def test_a_revoked_link_ends_its_sessions(tmp_path):
    with MarkStore(tmp_path) as store:
        access = Access(store)
        token, second, other = access.make_link("A1"), access.make_link("A1"), access.make_link("A2")
        sessions = [access.enter(each) for each in (token, second, other)]
        assert access.revoke("A1") == 2
        assert access.revoke("A1") == 0
        assert [access.name_of(each) for each in sessions] == [None, None, "A2"]
        assert [access.enter(each) for each in (token, second)] == [None, None]
        assert not access.has_link("A1")
        assert access.name_of(access.enter(access.make_link("A1"))) == "A1"


def test_links_go_on_when_the_server_starts_again_and_no_secret_is_kept(tmp_path):
    with MarkStore(tmp_path) as store:
        token = Access(store).make_link("A1")
        session = Access(store).enter(token)
    with MarkStore(tmp_path) as store:
        assert Access(store).has_link("A1")
        assert Access(store).name_of(session) == "A1"
    kept = (tmp_path / MARKS_FILE).read_bytes()
    assert token.encode() not in kept
    assert session.encode() not in kept


def test_csrf_tokens_belong_to_their_session():
    assert is_csrf_token("s1", csrf_token("s1"))
    assert not is_csrf_token("s2", csrf_token("s1"))
    assert not is_csrf_token("s1", "")
    assert not is_csrf_token("s1", "é\ud800".encode("utf-8", "replace").decode())
    assert "s1" not in csrf_token("s1")
