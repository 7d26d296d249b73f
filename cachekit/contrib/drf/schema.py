"""Say in an OpenAPI schema by drf-spectacular what kept answers have beside others: entity tags, and 304."""

from __future__ import annotations

from typing import Any

from cachekit.contrib.drf.rules import Rules
from cachekit.exceptions import MissingExtra

try:
    from drf_spectacular.openapi import AutoSchema
except ModuleNotFoundError as error:
    raise MissingExtra(f"{__name__} needs drf-spectacular. Install it with: pip install drf-spectacular") from error

CONDITION = {
    "in": "header",
    "name": "If-None-Match",
    "schema": {"type": "string"},
    "description": "The ETag of an answer that the client has. Where that is still right, the answer is 304.",
}
ENTITY_TAG = {"schema": {"type": "string"}, "description": "Stands for this very answer; for If-None-Match."}
NOT_MODIFIED = {
    "description": "The answer that the client has is still right.",
    "headers": {"ETag": ENTITY_TAG},
}


class CachedSchemaMixin:
    """Document kept answers: put it before a project's own AutoSchema."""

    view: Any

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """Return an operation, with what is kept of it."""
        operation = super().get_operation(*args, **kwargs)  # type: ignore[misc]
        if operation is None or self.method != "GET" or rules_for(self.view) is None:  # type: ignore[attr-defined]
            return operation
        responses = operation["responses"]
        for status, response in responses.items():
            if status == "200":
                response.setdefault("headers", {})["ETag"] = ENTITY_TAG
        responses["304"] = NOT_MODIFIED
        operation.setdefault("parameters", []).append(CONDITION)
        return operation


class CachedAutoSchema(CachedSchemaMixin, AutoSchema):
    """`"DEFAULT_SCHEMA_CLASS": "cachekit.contrib.drf.schema.CachedAutoSchema"`."""


def rules_for(view: Any) -> Rules | None:
    """Return by what rules a view's answer to GET is kept, if it is."""
    action = getattr(view, "action", None)
    own = getattr(getattr(view, action or "get", None), "cachekit_rules", None)
    kept = getattr(view, "cachekit_kept", {}).get(action)
    found: Rules | None = own or (kept.rules if kept is not None else None)
    return found
