"""`annotate serve`: the pages on which annotators mark a study's items."""

from __future__ import annotations

import ipaddress
import shlex
import socket
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope.annotations.access import REVIEWER, Access
from tunescope.annotations.store import MARKS_FILE, MarkStore
from tunescope.annotations.study import Study
from tunescope.errors import MissingPackageError, SettingsError
from tunescope.models.settings import LoadSettings, refuse_loading, with_model
from tunescope.oracle.api import is_url, refuse_secrets
from tunescope.progress import say
from tunescope.runs import INPUT, NOT_IN_KEY, Outcome
from tunescope.settings import POSITIONAL, above, at_least, group
from tunescope.views import Table, View, counted

if TYPE_CHECKING:
    from tunescope.verbs.annotate.prompt_queue import PromptQueue

_ANSWERS = group("Reworded prompts")


@dataclass(frozen=True, kw_only=True)
class AnnotateServeSettings(LoadSettings):
    """Serve the pages on which annotators mark a study's items."""

    study: str = field(metadata={**INPUT, **POSITIONAL})
    """A run folder of annotate create. The marks are kept in it, in marks.db."""

    host: str = field(default="127.0.0.1", metadata=NOT_IN_KEY)
    """The address to listen on. By default only this machine can reach the pages. To let others reach them, use an
    address such as 0.0.0.0, and put a server that speaks TLS in front."""

    port: int = field(default=8765, metadata={**NOT_IN_KEY, **at_least(0, at_most=65535)})
    """The port to listen on; 0 takes a free one."""

    address: str | None = field(default=None, metadata=NOT_IN_KEY)
    """The URL at which annotators reach the pages, such as https://study.example.org, if it isn't http://HOST:PORT."""

    open_all: bool = field(default=False, metadata=NOT_IN_KEY)
    """Open all items from the beginning. Otherwise, if the study has a pilot, an annotator's other items open once a
    reviewer has returned that annotator's pilot."""

    link: tuple[str, ...] = field(default=(), metadata=NOT_IN_KEY)
    """Make another link for these annotators, or for reviewer. The link that they have keeps working. A link is shown
    only once, when it is made, because only its hash is kept."""

    revoke: tuple[str, ...] = field(default=(), metadata=NOT_IN_KEY)
    """Revoke the links of these annotators, or of reviewer, and end their open sessions. Nothing is served then. They
    get new links the next time the study is served."""

    model: str | None = field(default=None, metadata={**NOT_IN_KEY, **_ANSWERS, "refuse": refuse_secrets})
    """For a study of causes: the model that answers reworded prompts on the page, greedily. An embedded model's name, a
    folder, a GGUF file, a hub id, or the URL of an OpenAI-compatible server. By default annotators enter answers that
    they got elsewhere."""

    served_model: str | None = field(default=None, metadata={**NOT_IN_KEY, **_ANSWERS})
    """With --model URL: the server's name for the model. By default the server's only model."""

    max_new_tokens: int = field(default=256, metadata={**NOT_IN_KEY, **_ANSWERS, **at_least(1)})
    """Maximum length of an answer in tokens."""

    timeout: float = field(default=120.0, metadata={**NOT_IN_KEY, **_ANSWERS, **above(0)})
    """Seconds that a server may take for one answer, including retries."""


def annotate_serve(settings: AnnotateServeSettings) -> Outcome:
    """Serve a study until it is interrupted, and say how much is done.

    Raises:
        RunError: no study, or a file of marks that is something else.
        SettingsError: a name that isn't an annotator's, a model that can't answer, or an address that can't be
            listened on.
        TunescopeError: a model that can't be loaded, or a server that isn't there.
        MissingPackageError: starlette or uvicorn isn't installed.
    """
    study = Study.open(settings.study)
    names = (*study.assignments, REVIEWER)
    unknown = [name for name in (*settings.link, *settings.revoke) if name not in names]
    if unknown:
        raise SettingsError(f"found {', '.join(unknown)}; expected some of {', '.join(names)}")
    _validate_model(settings, study)
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

        from tunescope.verbs.annotate.app import Serving, make_app
    except ImportError as error:
        raise MissingPackageError(error.name or "starlette", "annotate", "annotate serve") from error
    with _listen(settings.host, settings.port) as listening, _queue(settings, store) or nullcontext() as queue:
        # Requests are logged nowhere: what isn't written can't leak.
        config = uvicorn.Config(
            make_app(study, store, Serving(_is_encrypted(settings.address), not settings.open_all, queue)),
            access_log=False,
            log_level="error",
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=5,
        )
        port = listening.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = (settings.address or f"http://{host}:{port}").rstrip("/")
        _print_links(settings, store, names, address)
        uvicorn.Server(config).run(sockets=[listening])


def _validate_model(settings: AnnotateServeSettings, study: Study) -> None:
    """Raise `SettingsError` for a model that this study has no use for, and for settings of one that don't fit."""
    if settings.model is None:
        if settings.served_model is not None:
            raise SettingsError(f"--served-model {settings.served_model}: expected --model URL with it")
        return
    if study.result.kind != "cause":
        raise SettingsError(
            f"--model {settings.model}: a study of {study.result.kind} has no reworded prompts; expected one of cause"
        )
    if is_url(settings.model):
        refuse_loading(settings, settings.model)
    elif settings.served_model is not None:
        raise SettingsError(
            f"--served-model {settings.served_model} with --model {settings.model}: expected a server's URL"
        )


def _queue(settings: AnnotateServeSettings, store: MarkStore) -> PromptQueue | None:
    """Return the queue of reworded prompts, with its model loaded or its server found; None without a model."""
    if settings.model is None:
        return None
    from tunescope.annotations.asked_prompts import AskedPrompts
    from tunescope.verbs.annotate.answerers import Answerer, LoadedModel, ServedModel
    from tunescope.verbs.annotate.prompt_queue import PromptQueue

    answerer: Answerer
    if is_url(settings.model):
        answerer = ServedModel(settings.model, settings.served_model, settings.max_new_tokens, settings.timeout)
    else:
        answerer = LoadedModel(with_model(settings, settings.model, settings.revision), settings.max_new_tokens)
    say(f"{answerer.name} answers reworded prompts, with up to {settings.max_new_tokens:,} tokens each")
    return PromptQueue(AskedPrompts(store), answerer)


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
    table = Table("Progress", ("annotator", "finished items", "items", "marks"), rows)
    after = (shlex.join(["tunescope", "annotate", "agreement", str(study.run.path)]),) if marks else ()
    return Outcome(result, View((*sentences, where), (table,), after))
