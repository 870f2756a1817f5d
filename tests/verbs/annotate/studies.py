"""Studies that the tests of `annotate` make, and servers of them in this process."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.tools import write_rows

from tunescope.annotations.access import Access
from tunescope.annotations.asked_prompts import AskedPrompts
from tunescope.annotations.store import MarkStore
from tunescope.annotations.study import Study
from tunescope.verbs.annotate.create import AnnotateCreateSettings, annotate_create

HOSTILE = (
    '</script><img src=x onerror=\'window.pwned=1\'>" onfocus="window.pwned=1" autofocus \u202egnp.js\r\n'
    "next\u200b{{ 7001*7001 }} javascript:window.pwned=1 \x00"
)


def answer(number, text, model="m", **fields):
    return {"prompt_id": f"q{number}", "prompt": f"What is {number}?", "text": text, "model": model, **fields}


def make_study(kind, answers, **settings):
    """Write files of answers, by name, and make a study of them."""
    for name, records in answers.items():
        write_rows(Path(f"{name}.jsonl"), records)
    names = tuple(f"{name}.jsonl" for name in answers)
    return Study.open(annotate_create(AnnotateCreateSettings(kind=kind, answers=names, **settings)).path)


@contextmanager
def serving(study, answerer=None):
    """Serve a study, with somebody who answers reworded prompts; yield a function that makes a personal link."""
    from tunescope.verbs.annotate.app import Serving, make_app
    from tunescope.verbs.annotate.prompt_queue import PromptQueue

    with (
        MarkStore(study.run.path) as store,
        nullcontext() if answerer is None else PromptQueue(AskedPrompts(store), answerer) as queue,
        listening(make_app(study, store, Serving(queue=queue))) as port,
    ):
        yield lambda name: f"http://127.0.0.1:{port}/enter#{Access(store).make_link(name)}"


@contextmanager
def listening(app, port=0):
    """Let an application answer at a port, or at a free one, as long as the block runs; yield the port."""
    import uvicorn

    config = uvicorn.Config(app, port=port, log_level="error", lifespan="off")
    socket = config.bind_socket()
    socket.listen()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield socket.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        socket.close()
