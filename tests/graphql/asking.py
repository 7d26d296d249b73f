"""Ask a GraphQL view, sync or async, and count what it asks the zoo's tables."""

from __future__ import annotations

import json
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext


class Visitor:
    """A browser; `ask(query, **variables)` returns the data, `queries` is how many it took."""

    def __init__(self, path: str, user: User | None = None, **headers: str) -> None:
        self.path = path
        self.awaited = "awaited" in path
        self.client: Any = AsyncClient() if self.awaited else Client()
        self.headers = headers
        self.queries = 0
        self.errors: list[str] = []
        if user is not None:
            self.client.force_login(user)

    def ask(self, query: str, **variables: Any) -> Any:
        post = async_to_sync(self.client.post) if self.awaited else self.client.post
        body = json.dumps({"query": query, "variables": variables})
        with CaptureQueriesContext(connection) as captured:
            response = post(self.path, body, content_type="application/json", headers=self.headers)
        self.queries = sum("zoo_" in one["sql"] for one in captured)
        found = json.loads(response.content)
        self.errors = [one["message"] for one in found.get("errors", ())]
        return found["data"]
