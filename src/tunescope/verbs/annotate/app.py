"""The pages of a study, and what they send: one mark at a time, which is on the disk before it is acknowledged.

A personal link holds its token behind a #, which no browser sends: the page posts it once and gets a cookie. Nothing
in an address tells anything but the number of an item. What a page changes is sent as JSON, with a token of the session
that no other site can read. All texts are escaped, and the policy allows our own script and style alone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from hashlib import blake2b
from importlib.resources import files
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tunescope.annotations.access import REVIEWER, Access, csrf_token, is_csrf_token
from tunescope.annotations.store import MarkStore, MarkVersion
from tunescope.annotations.study import Study
from tunescope.errors import MarkConflict
from tunescope.html import fill_template, json_in_html
from tunescope.results.annotate import Assignment, Mark, StudyItem
from tunescope.verbs.annotate.values import is_complete, parse_text, parse_value, show_value

_LARGEST_BODY = 256 * 1024
"""Bytes of a request's body."""
_SCRIPTS = {"annotate.js": "text/javascript", "enter.js": "text/javascript", "annotate.css": "text/css"}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_PACKAGE = "tunescope.verbs.annotate.pages"
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class _ShownItem(NamedTuple):
    """What a page is about.

    Attributes:
        visitor: who looks at it.
        session: the secret of their session.
        assignment: the item, as its annotator sees it.
        item: the item itself.
    """

    visitor: str
    session: str
    assignment: Assignment
    item: StudyItem

    @property
    def is_review(self) -> bool:
        """Whether a reviewer looks at somebody's marks."""
        return self.visitor == REVIEWER


class _SafeHeaders:
    """Adds the headers that hold for every response, errors too."""

    def __init__(self, app: Callable[[_Message, _Receive, _Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        async def send_safely(message: _Message) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self._app(scope, receive, send_safely)


def make_app(study: Study, store: MarkStore, is_encrypted: bool = False) -> Starlette:
    """Return the application that serves a study; with `is_encrypted` its cookies are sent over TLS alone."""
    pages = _Pages(study, store, is_encrypted)
    routes = [
        Route("/", pages.show_list),
        Route("/enter", pages.show_entrance),
        Route("/enter", pages.enter, methods=["POST"]),
        Route("/guidelines", pages.show_guidelines),
        Route("/item/{place:int}", pages.show_item),
        Route("/item/{place:int}/mark", pages.write_mark, methods=["POST"]),
        Route("/item/{place:int}/finish", pages.finish, methods=["POST"]),
        Route("/review/{annotator:int}/{place:int}", pages.show_item),
        Route("/review/{annotator:int}/{place:int}/mark", pages.write_mark, methods=["POST"]),
        *(Route(f"/{name}", partial(_send_file, name)) for name in _SCRIPTS),
        Route("/favicon.ico", _send_nothing),
    ]
    errors: Any = {HTTPException: _show_error, MarkConflict: _show_conflict}
    return Starlette(routes=routes, middleware=[Middleware(_SafeHeaders)], exception_handlers=errors)


class _Pages:
    """What each address does."""

    def __init__(self, study: Study, store: MarkStore, is_encrypted: bool) -> None:
        self._study, self._store, self._access, self._is_encrypted = study, store, Access(store), is_encrypted
        self._names = list(study.assignments)
        self._cookie = f"tunescope_{study.run.key}"  # browsers send cookies to all ports of a host

    def show_entrance(self, request: Request) -> Response:
        """Show the page that posts the token of a personal link."""
        return _page("enter.html.j2", title="Annotate")

    async def enter(self, request: Request) -> Response:
        """Begin a session with a token."""
        _require_same_site(request)
        token = (await _read_json(request)).get("token")
        session = await run_in_threadpool(self._access.enter, token) if isinstance(token, str) else None
        if session is None:
            raise HTTPException(403, "This link is none of this study, or was revoked. Ask for another.")
        response = JSONResponse({"to": "/"})
        response.set_cookie(self._cookie, session, httponly=True, samesite="strict", secure=self._is_encrypted)
        return response

    def show_list(self, request: Request) -> Response:
        """Show an annotator's items, or all annotators' to a reviewer."""
        visitor, _ = self._visitor(request)
        finished = self._store.finished()
        marks = self._store.marks(annotator=None if visitor == REVIEWER else visitor)
        begun = {(each.mark.item_id, each.mark.annotator) for each in marks}
        names = self._names if visitor == REVIEWER else [visitor]
        lists = []
        for name in names:
            base = f"/review/{self._names.index(name) + 1}" if visitor == REVIEWER else "/item"
            entries = []
            for each in self._study.assignments[name]:
                pair = (each.item_id, name)
                state = "finished" if pair in finished else "begun" if pair in begun else "new"
                question = self._study.items[each.item_id].prompt
                entries.append((f"{base}/{each.place + 1}", each, state, question[:200]))
            done = sum(state == "finished" for *_, state, _ in entries)
            first = next((address for address, _, state, _ in entries if state != "finished"), None)
            lists.append((name, entries, done, first))
        kind = self._study.result.kind
        return _page("list.html.j2", title="Items", lists=lists, kind=kind, is_review=visitor == REVIEWER)

    def show_guidelines(self, request: Request) -> Response:
        """Show what annotators are told."""
        self._visitor(request)
        return _page("guidelines.html.j2", title="Guidelines", guidelines=self._study.guidelines)

    def show_item(self, request: Request) -> Response:
        """Show an item with its annotator's marks."""
        place = self._place(request)
        assigned = self._study.assignments[place.assignment.annotator]
        number, base = place.assignment.place, request.url.path.rpartition("/")[0]
        answers = list(place.item.answers)
        if place.assignment.swapped:
            answers.reverse()
        lengths = [len(answer.text) for answer in answers]
        labels = [""] * len(answers)
        if place.item.kind == "pairs" and len(set(lengths)) > 1:
            labels[lengths.index(max(lengths))] = "the longer one"
        pair = (place.item.item_id, place.assignment.annotator)
        is_finished = pair in self._store.finished(place.assignment.annotator)
        result = self._study.result
        data = {
            "csrf": csrf_token(place.session),
            "base": request.url.path,
            "next": f"{base}/{number + 2}" if number + 1 < len(assigned) else "/",
            "previous": f"{base}/{number}" if number else "/",
            "kind": place.item.kind,
            "review": place.is_review,
            "categories": result.categories,
            "aspects": result.aspects,
            "span": place.item.span,
            "finished": is_finished,
            "rows": [row.row_id for row in place.item.rows],
            "marks": self._marks(place),
        }
        return _page(
            "item.html.j2",
            title=f"Item {number + 1}",
            item=place.item,
            answers=list(zip(answers, labels, strict=True)),
            study=result,
            place=place,
            number=number + 1,
            count=len(assigned),
            data=json_in_html(json.dumps(data)),
        )

    async def write_mark(self, request: Request) -> Response:
        """Add a version of a mark: a new one, a change, its end, or a reviewer's correction."""
        place = await run_in_threadpool(self._place, request)
        _require_csrf(request, place.session)
        sent = await _read_json(request)
        return JSONResponse(await run_in_threadpool(self._write, place, sent))

    async def finish(self, request: Request) -> Response:
        """Keep that an annotator is done with an item, or isn't any more."""
        place = await run_in_threadpool(self._place, request)
        _require_csrf(request, place.session)
        is_finished = (await _read_json(request)).get("finished")
        if not isinstance(is_finished, bool):
            raise HTTPException(422, "expected finished as true or false")
        await run_in_threadpool(self._finish, place, is_finished)
        return JSONResponse({"finished": is_finished})

    def _write(self, place: _ShownItem, sent: Mapping[str, Any]) -> dict[str, Any]:
        base, deleted = sent.get("base"), sent.get("deleted", False)
        if not isinstance(base, int) or isinstance(base, bool) or base < 0 or not isinstance(deleted, bool):
            raise HTTPException(422, "expected base as a version and deleted as true or false")
        if place.is_review and base == 0:
            raise HTTPException(422, "a reviewer corrects marks, and makes no new ones")
        assignment, item = place.assignment, place.item
        try:
            mark = Mark(
                mark_id=_mark_id(sent.get("mark_id"), place),
                item_id=item.item_id,
                annotator=assignment.annotator,
                kind=item.kind,
                phase=assignment.phase,
                value=parse_value(sent.get("value"), item, self._study.result, assignment.swapped),
                note=parse_text(sent.get("note", ""), "note"),
                sources=parse_text(sent.get("sources", ""), "sources"),
                reviewer=place.visitor if place.is_review else None,
            )
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        version = self._store.write(mark, base, deleted)
        return {"mark_id": mark.mark_id, "version": version}

    def _finish(self, place: _ShownItem, is_finished: bool) -> None:
        marks = self._store.marks(place.item.item_id, place.assignment.annotator)
        complete = any(is_complete(each.mark.value, self._study.result) for each in marks)
        if is_finished and place.item.kind != "spans" and not complete:
            raise HTTPException(422, "This item isn't marked whole yet.")
        self._store.finish(place.item.item_id, place.assignment.annotator, is_finished)

    def _marks(self, place: _ShownItem) -> list[dict[str, Any]]:
        """Return the marks of the page's item and annotator, as its script has them."""
        swapped = place.assignment.swapped
        versions = self._store.marks(place.item.item_id, place.assignment.annotator)
        return [_show_mark(each, swapped) for each in versions]

    def _visitor(self, request: Request) -> tuple[str, str]:
        """Return whose session a request is of, and its secret.

        Raises:
            HTTPException: none.
        """
        session = request.cookies.get(self._cookie, "")
        name = self._access.name_of(session) if session else None
        if name is None or (name != REVIEWER and name not in self._study.assignments):
            raise HTTPException(401, "Open your personal link first. If you did, it was revoked: ask for another.")
        return name, session

    def _place(self, request: Request) -> _ShownItem:
        """Return the item that a request is about.

        Raises:
            HTTPException: no session, or an item that isn't the visitor's.
        """
        visitor, session = self._visitor(request)
        number = request.path_params.get("annotator")
        if (number is None) == (visitor == REVIEWER) or (number is not None and not 1 <= number <= len(self._names)):
            raise HTTPException(404, "There is no such item here.")
        assigned = self._study.assignments[visitor if number is None else self._names[number - 1]]
        place = request.path_params["place"]
        if not 1 <= place <= len(assigned):
            raise HTTPException(404, "There is no such item here.")
        assignment = assigned[place - 1]
        return _ShownItem(visitor, session, assignment, self._study.items[assignment.item_id])


def _show_mark(each: MarkVersion, swapped: bool) -> dict[str, Any]:
    mark = each.mark
    return {
        "mark_id": mark.mark_id,
        "version": each.version,
        "value": show_value(mark.value, swapped),
        "note": mark.note,
        "sources": mark.sources,
        "original": None if mark.original is None else show_value(mark.original, swapped),
        "reviewer": mark.reviewer,
    }


def _mark_id(given: Any, place: _ShownItem) -> str:
    """Return a mark's id: of spans what the page drew, within the item; else the item's only one.

    Raises:
        ValueError: a page's id that is none.
    """
    if place.item.kind == "spans":
        if not isinstance(given, str) or len(given) != 32 or not set(given) <= set("0123456789abcdef"):
            raise ValueError("expected 32 hex digits as mark_id")
        return given
    content = json.dumps([place.item.item_id, place.assignment.annotator])
    return blake2b(content.encode(), digest_size=16).hexdigest()


def _page(template: str, status: int = 200, **values: Any) -> Response:
    return HTMLResponse(fill_template(_PACKAGE, template, **values).encode("utf-8", "replace"), status)


def _send_file(name: str, request: Request) -> Response:
    return Response(files(_PACKAGE).joinpath(name).read_bytes(), media_type=_SCRIPTS[name])


def _send_nothing(request: Request) -> Response:
    return Response(status_code=204)


def _show_error(request: Request, error: HTTPException) -> Response:
    if request.method == "POST":
        return JSONResponse({"error": error.detail}, error.status_code)
    return _page("error.html.j2", error.status_code, title="Annotate", sentence=error.detail)


def _show_conflict(request: Request, error: MarkConflict) -> Response:
    return JSONResponse({"error": str(error)}, 409)


def _require_same_site(request: Request) -> None:
    """Refuse what another site's page sends."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "This was sent from another site.")


def _require_csrf(request: Request, session: str) -> None:
    _require_same_site(request)
    if not is_csrf_token(session, request.headers.get("x-csrf-token", "")):
        raise HTTPException(403, "This wasn't sent from a page of this session. Reload the page.")


async def _read_json(request: Request) -> dict[str, Any]:
    """Read a body.

    Raises:
        HTTPException: too large, of another type, or no object.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "expected application/json")
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > _LARGEST_BODY:
                raise HTTPException(413, f"expected at most {_LARGEST_BODY:,} bytes")
    except ClientDisconnect as error:
        raise HTTPException(400, "the request ended early") from error
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "expected JSON") from error
    if not isinstance(value, dict):
        raise HTTPException(400, "expected a JSON object")
    return value
