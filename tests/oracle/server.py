"""A server on loopback that speaks as much of the API as we use, and misbehaves as told."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Said(NamedTuple):
    """What the server sends: a body (bytes as they are), a status, headers.

    `length` lies about the body's; -1 resets the connection without a word, -2 sends the body alone and closes.
    """

    body: Any
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None
    after: float = 0.0


def completion(text: Any, finish_reason: str = "stop", **more: Any) -> dict[str, Any]:
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

    `before_models` is what it says, one after the other, to those who ask for its models before it lists them.
    """

    behave: Callable[[dict[str, Any], int], Said]
    models: tuple[str, ...] = ("tiny",)
    before_models: list[Said] = field(default_factory=list)
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    at_work: int = 0
    most_at_work: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serving(behave: Callable[[dict[str, Any], int], Said] = echo, port: int = 0, **known: Any) -> Iterator[Server]:
    """Serve while the block runs; `behave` gets the request and which call of that last message it is, from 1."""
    server = Server(behave, **known)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/v1/models":
                self.send(Said({"error": {"message": "no such page"}}, 404))
                return
            if server.before_models:
                self.send(server.before_models.pop(0))
                return
            self.send(Said({"object": "list", "data": [{"id": name, "object": "model"} for name in server.models]}))

        def do_POST(self) -> None:
            try:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            except (OSError, ValueError):  # the client was killed
                return
            with server.lock:
                last = body["messages"][-1]["content"]
                server.calls[last] += 1
                call = server.calls[last]
                server.bodies.append(body)
                server.keys.append(self.headers.get("authorization"))
                server.at_work += 1
                server.most_at_work = max(server.most_at_work, server.at_work)
            try:
                said = server.behave(body, call)
                time.sleep(said.after)
            finally:
                with server.lock:
                    server.at_work -= 1
            self.send(said)

        def send(self, said: Said) -> None:
            if said.length == -1:
                linger = struct.pack("ii", 1, 0)  # close with a reset instead of an end
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                self.connection.close()
                return
            content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            if said.length == -2:
                self.wfile.write(content)
                self.close_connection = True
                return
            try:
                self.send_response(said.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content) if said.length is None else said.length))
                for name, value in said.headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # the client was killed
                pass
            self.close_connection = self.close_connection or said.length is not None

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = 128  # a client may come with many calls at once

    http = Quiet(("127.0.0.1", port), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
