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
from tunescope.annotations.asked_prompts import AskedPrompt, AskedPrompts, holds_phrase
from tunescope.annotations.comments import Comments
from tunescope.annotations.store import MarkStore, MarkVersion
from tunescope.annotations.study import Study
from tunescope.annotations.values import check_value
from tunescope.errors import MarkConflict, QueueFull
from tunescope.foreign import split_at_badges
from tunescope.html import fill_template, json_in_html
from tunescope.results.annotate import Assignment, Counterfactual, Mark, StudyItem
from tunescope.rows.json_text import FormatError
from tunescope.verbs.annotate.item_list import ItemList, ListEntry
from tunescope.verbs.annotate.prompt_queue import LONGEST_PROMPT, PromptQueue
from tunescope.verbs.annotate.values import (
    MOST_REWORDINGS,
    is_complete,
    parse_id,
    parse_text,
    parse_value,
    show_value,
)

_LARGEST_BODY = 256 * 1024
"""Bytes of a request's body."""
_FILES = {
    **dict.fromkeys(("annotate.js", "enter.js", "list.js"), "text/javascript"),
    "annotate.css": "text/css",
}
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
_OWN = "/own/"
"""Where a reviewer's own marks are made."""
_PILOT_WAITS = "The items after the pilot open when a reviewer has returned your pilot."
_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class Serving(NamedTuple):
    """How a study is served.

    Attributes:
        is_encrypted: its cookies are sent over TLS alone.
        waits: an annotator's items beyond the pilot open once a reviewer has returned the pilot.
        queue: takes reworded prompts; None where no model answers any.
    """

    is_encrypted: bool = False
    waits: bool = True
    queue: PromptQueue | None = None


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
        """Whether a reviewer looks at somebody's marks; not where they are the reviewer's own."""
        return self.visitor != self.assignment.annotator


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


def make_app(study: Study, store: MarkStore, serving: Serving | None = None) -> Starlette:
    """Return the application that serves a study."""
    pages = _Pages(study, store, serving or Serving())
    actions = {"mark": pages.write_mark, "finish": pages.finish, "ask": pages.ask}
    routes = [
        Route("/", pages.show_list),
        Route("/enter", pages.show_entrance),
        Route("/enter", pages.enter, methods=["POST"]),
        Route("/guidelines", pages.show_guidelines),
        *(
            route
            for base in ("/item/{place:int}", f"{_OWN}{{place:int}}")
            for route in (
                Route(base, pages.show_item),
                Route(f"{base}/tries", pages.send_tries),
                *(Route(f"{base}/{name}", act, methods=["POST"]) for name, act in actions.items()),
            )
        ),
        Route("/review/{annotator:int}/{place:int}", pages.show_item),
        Route("/review/{annotator:int}/{place:int}/mark", pages.write_mark, methods=["POST"]),
        Route("/review/{annotator:int}/{place:int}/comment", pages.write_comment, methods=["POST"]),
        Route("/review/{annotator:int}/return", pages.return_pilot, methods=["POST"]),
        *(Route(f"/{name}", partial(_send_file, name)) for name in _FILES),
        Route("/favicon.ico", _send_nothing),
    ]
    errors: Any = {
        HTTPException: _show_error,
        MarkConflict: partial(_refuse, 409),
        QueueFull: partial(_refuse, 429),
        FormatError: partial(_refuse, 422),
    }
    return Starlette(routes=routes, middleware=[Middleware(_SafeHeaders)], exception_handlers=errors)


class _Pages:
    """What each address does."""

    def __init__(self, study: Study, store: MarkStore, serving: Serving) -> None:
        self._study, self._store, self._access = study, store, Access(store)
        self._is_encrypted, self._queue = serving.is_encrypted, serving.queue
        self._comments, self._prompts = Comments(store), AskedPrompts(store)
        self._names = list(study.assignments)
        self._own = study.all_items(REVIEWER)
        self._waits = serving.waits and study.result.pilot > 0
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
            raise HTTPException(403, "This link doesn't belong to this study, or it was revoked. Ask for another.")
        response = JSONResponse({"to": "/"})
        response.set_cookie(self._cookie, session, httponly=True, samesite="strict", secure=self._is_encrypted)
        return response

    def show_list(self, request: Request) -> Response:
        """Show an annotator's items, or all annotators' to a reviewer."""
        visitor, session = self._visitor(request)
        is_review = visitor == REVIEWER
        marks = self._store.marks(annotator=None if is_review else visitor)
        states = {(each.mark.item_id, each.mark.annotator): "begun" for each in marks}
        states |= dict.fromkeys(self._store.finished(), "finished")
        commented = {(each.item_id, each.annotator) for each in self._comments.all()}
        returned = self._comments.returned()
        lists: list[ItemList] = []
        for name in (*self._names, REVIEWER) if is_review else (visitor,):
            number = 0 if name == REVIEWER else self._names.index(name) + 1
            base = _OWN if name == REVIEWER else f"/review/{number}/" if is_review else "/item/"
            entries = [
                ListEntry(
                    address=f"{base}{each.place + 1}",
                    is_pilot=each.phase == "pilot",
                    state=states.get((each.item_id, name), "new"),
                    has_comment=(each.item_id, name) in commented,
                    question=self._study.items[each.item_id].prompt[:200],
                )
                for each in self._assigned(name)
            ]
            lists.append(ItemList(name, number, entries, name in returned, self._waits and name != REVIEWER))
        data = json_in_html(json.dumps({"csrf": csrf_token(session)}))
        return _page("list.html.j2", title="Items", lists=lists, is_review=is_review, data=data)

    def show_guidelines(self, request: Request) -> Response:
        """Show what annotators are told."""
        self._visitor(request)
        return _page("guidelines.html.j2", title="Guidelines", guidelines=self._study.guidelines)

    def show_item(self, request: Request) -> Response:
        """Show an item with its annotator's marks."""
        place = self._place(request)
        annotator = place.assignment.annotator
        assigned = self._assigned(annotator)
        number, base = place.assignment.place, request.url.path.rpartition("/")[0]
        goes_on = number + 1 < len(assigned) and not (self._is_shut(assigned[number + 1]) and not place.is_review)
        answers = list(place.item.answers)
        if place.assignment.swapped:
            answers.reverse()
        lengths = [len(answer.text) for answer in answers]
        labels = [""] * len(answers)
        if place.item.kind == "pairs" and len(set(lengths)) > 1:
            labels[lengths.index(max(lengths))] = "the longer one"
        is_finished = (place.item.item_id, annotator) in self._store.finished(annotator)
        comment = self._comments.newest(place.item.item_id, annotator)
        result = self._study.result
        data = {
            "csrf": csrf_token(place.session),
            "base": request.url.path,
            "next": f"{base}/{number + 2}" if goes_on else "/",
            "previous": f"{base}/{number}" if number else "/",
            "kind": place.item.kind,
            "review": place.is_review,
            "categories": result.categories,
            "aspects": result.aspects,
            "span": place.item.span,
            "finished": is_finished,
            "rows": [row.row_id for row in place.item.rows],
            "marks": self._marks(place),
            "tries": self._tries(place),
            "model": self._queue.model if self._queue is not None and not place.is_review else None,
            "comment": {"version": comment.version, "text": comment.text},
        }
        return _page(
            "item.html.j2",
            title=f"Item {number + 1}",
            item=place.item,
            answers=list(zip(answers, labels, strict=True)),
            study=result,
            place=place,
            comment=comment.text,
            own=self._own_address(place),
            own_marks=annotator == REVIEWER,
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

    async def ask(self, request: Request) -> Response:
        """Let a reworded prompt wait for the model."""
        place = await run_in_threadpool(self._place, request)
        _require_csrf(request, place.session)
        sent = await _read_json(request)
        return JSONResponse(await run_in_threadpool(self._ask, place, sent))

    def send_tries(self, request: Request) -> Response:
        """Send the reworded prompts of an item, with the answers that are there."""
        return JSONResponse({"tries": self._tries(self._place(request))})

    async def write_comment(self, request: Request) -> Response:
        """Keep what a reviewer says of an annotator's item."""
        place = await run_in_threadpool(self._place, request)
        _require_csrf(request, place.session)
        sent = await _read_json(request)
        base, text = _version(sent.get("base")), parse_text(sent.get("text"), "text")
        pair = (place.item.item_id, place.assignment.annotator)
        return JSONResponse({"version": await run_in_threadpool(self._comments.write, *pair, text, base)})

    async def return_pilot(self, request: Request) -> Response:
        """Open an annotator's items beyond the pilot, which is finished."""
        visitor, session = await run_in_threadpool(self._visitor, request)
        number = request.path_params["annotator"]
        if visitor != REVIEWER or not 1 <= number <= len(self._names):
            raise HTTPException(404, "There is no such pilot here.")
        _require_csrf(request, session)
        name = self._names[number - 1]
        finished = await run_in_threadpool(self._store.finished, name)
        pilot = [each.item_id for each in self._assigned(name) if each.phase == "pilot"]
        done = sum((item_id, name) in finished for item_id in pilot)
        if done < len(pilot) or not pilot:
            raise HTTPException(422, f"{name} has finished {done} of {len(pilot)} items of the pilot.")
        await run_in_threadpool(self._comments.return_pilot, name)
        return JSONResponse({"returned": name})

    def _ask(self, place: _ShownItem, sent: Mapping[str, Any]) -> dict[str, Any]:
        if self._queue is None or place.is_review or place.item.kind != "cause":
            raise HTTPException(422, "No model answers reworded questions here.")
        prompt = parse_text(sent.get("prompt"), "prompt", LONGEST_PROMPT).strip()
        if not prompt:
            raise FormatError("an empty question", "the question in other words")
        asked = AskedPrompt(
            parse_id(sent.get("try_id"), "try_id"), place.item.item_id, place.assignment.annotator, prompt
        )
        tries = self._tries(place)
        if len(tries) >= MOST_REWORDINGS and all(each["try_id"] != asked.try_id for each in tries):
            raise FormatError(f"{len(tries)} reworded questions of this item", f"up to {MOST_REWORDINGS}")
        self._queue.ask(asked)
        return {"tries": self._tries(place)}

    def _tried(self, place: _ShownItem) -> dict[str, Counterfactual]:
        """Return the reworded prompts of a page's item that were answered, by id."""
        asked = self._prompts.of(place.item.item_id, place.assignment.annotator)
        answered = [
            Counterfactual(try_id=each.try_id, prompt=each.prompt, answer=each.answer, model=each.model or "")
            for each in asked
            if each.answer is not None
        ]
        return {each.try_id: each for each in (*place.item.counterfactuals, *answered)}

    def _tries(self, place: _ShownItem) -> list[dict[str, Any]]:
        """Return the reworded prompts of a page's item as its script has them, those of a file first.

        `before` is how many are answered before one that waits; `held` is whether the phrase's words are in the answer.
        `parts` are the texts to draw.
        """
        if place.item.span is None:
            return []
        start, end = place.item.span
        phrase = place.item.answers[0].text[start:end]
        given = place.item.counterfactuals
        tries = [{**each.as_json(), "held": holds_phrase(each.answer, phrase)} for each in given]
        for asked in self._prompts.of(place.item.item_id, place.assignment.annotator):
            shown: dict[str, Any] = {"try_id": asked.try_id, "prompt": asked.prompt}
            if asked.answer is not None:
                shown |= {"answer": asked.answer, "model": asked.model, "held": holds_phrase(asked.answer, phrase)}
            elif asked.failure is not None:
                shown["failure"] = asked.failure
            elif self._queue is None:
                shown["failure"] = "no model answers now; the question is asked once the study is served with a model"
            else:
                shown["before"] = self._queue.before(asked.try_id) or 0
            tries.append(shown)
        texts = ("prompt", "answer", "failure", "model")
        return [
            {**each, "parts": {name: split_at_badges(each[name]) for name in texts if name in each}} for each in tries
        ]

    def _write(self, place: _ShownItem, sent: Mapping[str, Any]) -> dict[str, Any]:
        base, deleted = _version(sent.get("base")), sent.get("deleted", False)
        if not isinstance(deleted, bool):
            raise FormatError("something else as deleted", "true or false")
        if place.is_review and base == 0:
            raise HTTPException(422, "This page corrects marks. Make your own on your own page of this item.")
        assignment, item = place.assignment, place.item
        given = (sent.get("value"), item, self._study.result, assignment.swapped)
        mark = Mark(
            mark_id=_mark_id(sent.get("mark_id"), place),
            item_id=item.item_id,
            annotator=assignment.annotator,
            kind=item.kind,
            phase=assignment.phase,
            value=parse_value(*given, self._tried(place) if item.kind == "cause" else {}),
            note=parse_text(sent.get("note", ""), "note"),
            sources=parse_text(sent.get("sources", ""), "sources"),
            reviewer=place.visitor if place.is_review else None,
        )
        check_value(mark, item)
        version = self._store.write(mark, base, deleted)
        return {"mark_id": mark.mark_id, "version": version}

    def _finish(self, place: _ShownItem, is_finished: bool) -> None:
        marks = self._store.marks(place.item.item_id, place.assignment.annotator)
        complete = any(is_complete(each.mark.value, self._study.result) for each in marks)
        if is_finished and place.item.kind != "spans" and not complete:
            raise HTTPException(422, "This item isn't completely marked yet.")
        self._store.finish(place.item.item_id, place.assignment.annotator, is_finished)

    def _marks(self, place: _ShownItem) -> list[dict[str, Any]]:
        """Return the marks of the page's item and annotator, as its script has them."""
        swapped = place.assignment.swapped
        versions = self._store.marks(place.item.item_id, place.assignment.annotator)
        return [_show_mark(each, swapped) for each in versions]

    def _assigned(self, name: str) -> list[Assignment]:
        """Return somebody's items in order: of a reviewer, for marks of their own, all."""
        return self._own if name == REVIEWER else self._study.assignments[name]

    def _is_shut(self, assignment: Assignment) -> bool:
        """Tell whether an item waits for its annotator's pilot to be returned."""
        is_main = assignment.phase == "main" and assignment.annotator != REVIEWER
        return self._waits and is_main and assignment.annotator not in self._comments.returned()

    def _own_address(self, place: _ShownItem) -> str | None:
        """Return where a reviewer makes a mark of their own of the item that they look at."""
        if not place.is_review:
            return None
        return next(f"{_OWN}{each.place + 1}" for each in self._own if each.item_id == place.item.item_id)

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
        number, is_own = request.path_params.get("annotator"), request.url.path.startswith(_OWN)
        is_for_reviewer = number is not None or is_own
        if is_for_reviewer != (visitor == REVIEWER) or (number is not None and not 1 <= number <= len(self._names)):
            raise HTTPException(404, "There is no such item here.")
        assigned = self._assigned(visitor if number is None else self._names[number - 1])
        place = request.path_params["place"]
        if not 1 <= place <= len(assigned):
            raise HTTPException(404, "There is no such item here.")
        assignment = assigned[place - 1]
        if visitor != REVIEWER and self._is_shut(assignment):
            raise HTTPException(403, _PILOT_WAITS)
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
        FormatError: a page's id that is none.
    """
    if place.item.kind == "spans":
        return parse_id(given, "mark_id")
    content = json.dumps([place.item.item_id, place.assignment.annotator])
    return blake2b(content.encode(), digest_size=16).hexdigest()


def _version(given: Any) -> int:
    """Return the version that a change was made from; raises `FormatError` where it is none."""
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise FormatError("something else as base", "the number of a version")
    return given


def _page(template: str, status: int = 200, **values: Any) -> Response:
    return HTMLResponse(fill_template(_PACKAGE, template, **values).encode("utf-8", "replace"), status)


def _send_file(name: str, request: Request) -> Response:
    return Response(files(_PACKAGE).joinpath(name).read_bytes(), media_type=_FILES[name])


def _send_nothing(request: Request) -> Response:
    return Response(status_code=204)


def _show_error(request: Request, error: HTTPException) -> Response:
    if request.method == "POST":
        return JSONResponse({"error": error.detail}, error.status_code)
    return _page("error.html.j2", error.status_code, title="Annotate", sentence=error.detail)


def _refuse(status: int, request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status)


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
