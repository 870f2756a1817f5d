"""`annotate serve`: the pages on which annotators mark a study's items."""

from __future__ import annotations

import ipaddress
import shlex
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunescope.annotations.access import REVIEWER, Access
from tunescope.annotations.store import MARKS_FILE, MarkStore
from tunescope.annotations.study import Study
from tunescope.errors import MissingPackageError, SettingsError
from tunescope.progress import say
from tunescope.runs import INPUT, NOT_IN_KEY, Outcome
from tunescope.settings import POSITIONAL, at_least
from tunescope.views import Table, View, counted


@dataclass(frozen=True, kw_only=True)
class AnnotateServeSettings:
    """Serve the pages on which annotators mark a study's items."""

    study: str = field(metadata={**INPUT, **POSITIONAL})
    """A run folder of annotate create. The marks are kept in it, in marks.db."""

    host: str = field(default="127.0.0.1", metadata=NOT_IN_KEY)
    """The address to listen on. Others than this machine's own reach the pages only through another one, such as
    0.0.0.0; put a server that speaks TLS before it then."""

    port: int = field(default=8765, metadata={**NOT_IN_KEY, **at_least(0, at_most=65535)})
    """The port to listen on; 0 takes a free one."""

    address: str | None = field(default=None, metadata=NOT_IN_KEY)
    """How annotators reach the pages, where it isn't http://HOST:PORT, such as https://study.example.org."""

    link: tuple[str, ...] = field(default=(), metadata=NOT_IN_KEY)
    """Annotators, or reviewer, who get another link; the one that they have goes on. Links are shown once, when they
    are made, since only their hashes are kept."""

    revoke: tuple[str, ...] = field(default=(), metadata=NOT_IN_KEY)
    """Annotators, or reviewer, whose links end, with what is open in their browsers. Nothing is served then; the
    next time that the study is served they get new links."""


def annotate_serve(settings: AnnotateServeSettings) -> Outcome:
    """Serve a study until it is interrupted, and say how far it is.

    Raises:
        RunError: no study, or a file of marks that is something else.
        SettingsError: a name that is no annotator's, or an address that can't be listened on.
        MissingPackageError: starlette or uvicorn isn't installed.
    """
    study = Study.open(settings.study)
    names = (*study.assignments, REVIEWER)
    unknown = [name for name in (*settings.link, *settings.revoke) if name not in names]
    if unknown:
        raise SettingsError(f"found {', '.join(unknown)}; expected some of {', '.join(names)}")
    with MarkStore(Path(settings.study)) as store:
        if settings.revoke:
            access = Access(store)
            sentences = [f"{name}: {counted(access.revoke(name), 'link')} revoked." for name in settings.revoke]
            return _outcome(study, store, sentences)
        _serve(settings, study, store, names)
        return _outcome(study, store, [])


def _serve(settings: AnnotateServeSettings, study: Study, store: MarkStore, names: Sequence[str]) -> None:
    """Print the links and answer requests until a signal comes."""
    try:
        import uvicorn

        from tunescope.verbs.annotate.app import make_app
    except ImportError as error:
        raise MissingPackageError(error.name or "starlette", "annotate", "annotate serve") from error
    is_encrypted = _is_encrypted(settings.address)
    # Requests are logged nowhere: what isn't written can't leak.
    config = uvicorn.Config(
        make_app(study, store, is_encrypted),
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    with _listen(settings.host, settings.port) as listening:
        port = listening.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = (settings.address or f"http://{host}:{port}").rstrip("/")
        _print_links(settings, store, names, address)
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections from now on.

    Raises:
        SettingsError: the address is none, or another program's.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, TypeError, ValueError) as error:
        raise SettingsError(
            f"--host {host} --port {port}: can't be listened on ({error}); give another --port, or 0 for a free one"
        ) from error


def _print_links(settings: AnnotateServeSettings, store: MarkStore, names: Sequence[str], address: str) -> None:
    access = Access(store)
    for name in names:
        if name in settings.link or not access.has_link(name):
            say(f"{name}: {address}/enter#{access.make_link(name)}")
        else:
            say(f"{name} has a link; another one is made with --link {name}")
    if not _is_loopback(settings.host) and not _is_encrypted(settings.address):
        say(f"{settings.host} can be reached by others, and what is sent can be read on the way: nothing is encrypted")
    say(f"Serving at {address}. Every mark is saved as it is made. Ctrl-C ends it.")


def _is_encrypted(address: str | None) -> bool:
    return address is not None and address.startswith("https:")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _outcome(study: Study, store: MarkStore, sentences: Sequence[str]) -> Outcome:
    finished, marks = store.finished(), store.marks()
    rows = tuple(
        (
            name,
            sum((each.item_id, name) in finished for each in assigned),
            len(assigned),
            sum(each.mark.annotator == name for each in marks),
        )
        for name, assigned in study.assignments.items()
    )
    result = {
        "study": str(study.run.path),
        "marks": len(marks),
        "annotators": [dict(zip(("annotator", "finished", "items", "marks"), row, strict=True)) for row in rows],
    }
    where = f"{counted(len(marks), 'mark')} in {study.run.path / MARKS_FILE}."
    table = Table("How far it is", ("annotator", "finished items", "items", "marks"), rows)
    after = (shlex.join(["tunescope", "annotate", "agreement", str(study.run.path)]),) if marks else ()
    return Outcome(result, View((*sentences, where), (table,), after))
