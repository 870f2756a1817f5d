"""Who may mark: personal links and the sessions that begin with them. Of both only hashes are kept.

A link's token has 256 random bits, so a plain hash of it can't be turned back.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256

from tunescope.annotations.store import MarkStore, utc_now

REVIEWER = "reviewer"
"""The name of the link that sees all marks."""


class Access:
    """The links and sessions of a study, in the file of its marks."""

    def __init__(self, store: MarkStore) -> None:
        """Use the file of a store."""
        self._store = store

    def make_link(self, name: str) -> str:
        """Return the token of a new link; those that the name has go on."""
        token = secrets.token_urlsafe(32)
        with self._store.changing() as file:
            file.execute("INSERT INTO links VALUES (?, ?, ?, NULL)", (_hash(token), name, utc_now()))
        return token

    def has_link(self, name: str) -> bool:
        """Tell whether a name has a link that wasn't revoked."""
        return self._store.look_up("SELECT 1 FROM links WHERE name = ? AND revoked IS NULL", name) is not None

    def revoke(self, name: str) -> int:
        """End all links of a name, with the sessions that began with them; return how many links there were."""
        with self._store.changing() as file:
            return file.execute(
                "UPDATE links SET revoked = ? WHERE name = ? AND revoked IS NULL", (utc_now(), name)
            ).rowcount

    def enter(self, token: str) -> str | None:
        """Begin a session; return its secret, or None for a token that is none or was revoked."""
        session = secrets.token_urlsafe(32)
        with self._store.changing() as file:
            link = file.execute("SELECT hash FROM links WHERE hash = ? AND revoked IS NULL", (_hash(token),)).fetchone()
            if link is None:
                return None
            file.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_hash(session), link[0], utc_now()))
        return session

    def name_of(self, session: str) -> str | None:
        """Return whose session it is; None for one that is none, or whose link was revoked."""
        row = self._store.look_up(
            "SELECT name FROM sessions JOIN links ON link = links.hash WHERE sessions.hash = ? AND revoked IS NULL",
            _hash(session),
        )
        return None if row is None else str(row[0])


def csrf_token(session: str) -> str:
    """Return what a page of a session sends along with each change; no other site can read it."""
    return sha256(f"csrf {session}".encode()).hexdigest()


def is_csrf_token(session: str, token: str) -> bool:
    """Tell whether a token is the session's, in the same time for each."""
    return hmac.compare_digest(csrf_token(session).encode(), token.encode())


def _hash(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
