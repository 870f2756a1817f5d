"""Visits to a study's application, without a browser."""

from __future__ import annotations

import json
import re

from starlette.testclient import TestClient

from tunescope.annotations.access import Access

HEX = "0123456789abcdef" * 2


class Visit:
    """A client with a session, and what its pages know."""

    def __init__(self, app, store, name):
        self.client = TestClient(app)
        reply = self.client.post("/enter", json={"token": Access(store).make_link(name)})
        assert reply.json() == {"to": "/"}

    def get(self, path):
        return self.client.get(path)

    def data(self, path):
        text = self.get(path).text
        return json.loads(re.search(r'id="data">(.*?)</script>', text)[1])

    def post(self, path, body, **headers):
        base = path.rpartition("/")[0]
        base = "/" if path.endswith("/return") else base
        return self.client.post(path, json=body, headers={"x-csrf-token": self.data(base)["csrf"], **headers})

    def mark(self, path, value, base=0, **fields):
        return self.post(f"{path}/mark", {"mark_id": HEX, "base": base, "value": value, **fields})
