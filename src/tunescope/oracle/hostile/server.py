"""A server on loopback that speaks as much of the API as we use, and misbehaves as told."""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

RESET = -1
"""A body's `length` that resets the connection without a word."""
ABRUPT = -2
"""A body's `length` that sends the body alone, without status and headers, and closes."""


class Said(NamedTuple):
    """What the server sends.

    Attributes:
        body: bytes as they are, or what is sent as JSON.
        status: the HTTP status.
        headers: more of them; one named content-type stands instead of JSON's.
        length: what content-length says where it lies, or `RESET` or `ABRUPT`; the connection is closed afterwards.
        after: seconds before anything is sent.
        drip: seconds between each tenth of the body and the next.
    """

    body: Any
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None
    after: float = 0.0
    drip: float = 0.0


def completion(text: Any, finish_reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    """Return a reply of the API."""
    n_words = len(str(text).split())
    usage = {"prompt_tokens": 5, "completion_tokens": n_words, "total_tokens": 5 + n_words}
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}], "usage": usage, **more}


def echo(body: dict[str, Any], call: int) -> Said:
    """Answer with the last message and how many there were."""
    messages = body["messages"]
    return Said(completion(f"{len(messages)}: {messages[-1]['content']}"))


@dataclass
class Server:
    """A running server: where it is, what it was asked, and how often each last message was.

    Attributes:
        behave: gets a call's body, and which call of that last message it is, from 1.
        models: what it calls its models.
        before_models: what it says, one after the other, to those who ask for its models before it lists them.
        pages: what else it answers to GET, by path.
        at_work, most_at_work: calls that it works on now, and did at most.
    """

    behave: Callable[[dict[str, Any], int], Said]
    models: tuple[str, ...] = ("tiny",)
    before_models: list[Said] = field(default_factory=list)
    pages: Mapping[str, Said] = field(default_factory=dict)
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    at_work: int = 0
    most_at_work: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def receive(self, body: dict[str, Any], key: str | None) -> int:
        """Note a call; return which of its last message it is."""
        with self.lock:
            last = str(body["messages"][-1]["content"])
            self.calls[last] += 1
            self.bodies.append(body)
            self.keys.append(key)
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            return self.calls[last]

    def answer(self, body: dict[str, Any], key: str | None) -> Said:
        """Return what there is to say to a call."""
        call = self.receive(body, key)
        try:
            said = self.behave(body, call)
            time.sleep(said.after)
        finally:
            with self.lock:
                self.at_work -= 1
        return said

    def get(self, path: str) -> Said:
        """Return what there is to say to GET."""
        if path in self.pages:
            return self.pages[path]
        if path != "/v1/models":
            return Said({"error": {"message": "no such page"}}, 404)
        if self.before_models:
            return self.before_models.pop(0)
        return Said({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128  # a client may come with many calls at once

    def __init__(self, port: int, told: Server) -> None:
        self.told = told
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent where a client was killed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Http

    def do_GET(self) -> None:
        """Answer with the models, or a page."""
        self._send(self.server.told.get(self.path))

    def do_POST(self) -> None:
        """Answer a call."""
        try:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        except (OSError, ValueError):  # the client was killed
            return
        self._send(self.server.told.answer(body, self.headers.get("authorization")))

    def _send(self, said: Said) -> None:
        content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        with suppress(OSError):  # the client was killed, or waits no longer
            if said.length == RESET:
                linger = struct.pack("ii", 1, 0)  # close with a reset instead of an end
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
            elif said.length == ABRUPT:
                self.wfile.write(content)
            else:
                self._send_whole(said, content)
        self.close_connection = self.close_connection or said.length is not None

    def _send_whole(self, said: Said, content: bytes) -> None:
        self.send_response(said.status)
        if "content-type" not in dict(said.headers):
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content) if said.length is None else said.length))
        for name, value in said.headers:
            self.send_header(name, value)
        self.end_headers()
        step = -(-len(content) // 10) if said.drip else len(content)
        for start in range(0, len(content), max(1, step)):
            self.wfile.write(content[start : start + step])
            time.sleep(said.drip)

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


@contextmanager
def serving(behave: Callable[[dict[str, Any], int], Said] = echo, port: int = 0, **known: Any) -> Iterator[Server]:
    """Serve while the block runs; `known` are fields of `Server`."""
    server = Server(behave, **known)
    http = _Http(port, server)
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
