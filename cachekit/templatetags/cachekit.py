"""`{% cached %}`: keep a rendered fragment of a template."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.base import FilterExpression, Node, NodeList, Parser, Token, VariableNode
from django.template.context import Context
from django.utils.safestring import SafeString, mark_safe

from cachekit import engine
from cachekit.core import keys
from cachekit.core.capture import current
from cachekit.specs import Door, surroundings

register = template.Library()

PERSONAL = frozenset({"user", "perms", "request", "messages", "csrf_token"})
"""Variables that differ from visitor to visitor."""


class CachedNode(Node):
    """A fragment, its name, and what it varies on."""

    def __init__(
        self, nodelist: NodeList, arguments: tuple[FilterExpression, ...], options: dict[str, FilterExpression]
    ) -> None:
        self.nodelist = nodelist
        self.timeout, self.name, *self.vary = arguments
        self.options = options
        self.personal = _personal(nodelist) - {part for one in self.vary for part in _names(one)}
        self._doors: dict[Any, Door] = {}

    def render(self, context: Context) -> SafeString:
        """Return the fragment kept for these variables, rendered if there is none that is fresh."""
        door = self._door(context)
        values = [one.resolve(context) for one in self.vary]
        spec = door.spec(keys.fingerprint(surroundings(), context.autoescape, *values))
        text: str = engine.get_or_set(spec, lambda: self._produced(context))
        return mark_safe(text)  # noqa: S308 - rendered by a template

    def _produced(self, context: Context) -> str:
        request = context.get("request")
        flag = "CSRF_COOKIE_NEEDS_UPDATE"
        meta = request.META if request is not None else {}
        before = meta.pop(flag, None)
        text = str(self.nodelist.render(context))
        capture = current.get()
        if capture is not None:
            if meta.get(flag) or "csrfmiddlewaretoken" in text:
                capture.refuse("it holds a CSRF token")
            if self.personal:
                names = ", ".join(sorted(self.personal))
                capture.refuse(
                    f"it shows {names}, which differs from visitor to visitor: name it after the fragment's name"
                )
        if before is not None:
            meta[flag] = before
        return text

    def _door(self, context: Context) -> Door:
        """Return the door for this rendering; the same arguments make the same one."""
        name = self.name.resolve(context)
        options = {key: value.resolve(context) for key, value in self.options.items()}
        timeout = self.timeout.resolve(context)
        known = (name, timeout, tuple(options.items()))
        if known not in self._doors:
            if len(self._doors) > 1000:
                self._doors.clear()
            if "tags" in options:
                options["tags"] = tuple(str(options["tags"]).split())
            self._doors[known] = Door("fragment", str(name), {"timeout": _seconds(timeout), **options})
        return self._doors[known]


def _seconds(timeout: Any) -> float | None:
    if timeout is None or (isinstance(timeout, (int, float)) and not isinstance(timeout, bool)):
        return timeout
    try:
        return float(timeout)
    except (TypeError, ValueError) as error:
        raise template.TemplateSyntaxError(
            f"'cached' takes a timeout in seconds, or None for no limit; not {timeout!r}"
        ) from error


def _names(expression: FilterExpression) -> set[str]:
    lookups = getattr(expression.var, "lookups", None) or ()
    return {lookups[0], lookups[-1]} if lookups else set()


def _personal(nodelist: NodeList) -> set[str]:
    """Return the personal variables that a fragment shows; what it includes is not looked into."""
    shown = {name for node in nodelist.get_nodes_by_type(VariableNode) for name in _first(node)}
    return shown & PERSONAL


def _first(node: Node) -> list[str]:
    lookups = getattr(getattr(node, "filter_expression", None), "var", None)
    found = getattr(lookups, "lookups", None) or ()
    return [found[0]] if found else []


@register.tag("cached")
def cached(parser: Parser, token: Token) -> CachedNode:
    """Keep a fragment: `{% cached 600 "sidebar" request.user.pk tags="news" %}…{% endcached %}`.

    The timeout in seconds (None: no limit), a name, then whatever the fragment varies on. What it reads through the
    ORM is captured. Options: tags="a b", alias="…", grace=…, jitter=….
    """
    nodelist = parser.parse(("endcached",))
    parser.delete_first_token()
    arguments: list[FilterExpression] = []
    options: dict[str, FilterExpression] = {}
    for bit in token.split_contents()[1:]:
        name, mark, value = bit.partition("=")
        if mark and name in ("tags", "alias", "grace", "jitter", "wait", "negative_timeout"):
            options[name] = parser.compile_filter(value)
        else:
            arguments.append(parser.compile_filter(bit))
    if len(arguments) < 2:
        raise template.TemplateSyntaxError(
            "'cached' takes a timeout and a name, then what it varies on: {% cached 600 \"sidebar\" user.pk %}"
        )
    return CachedNode(nodelist, tuple(arguments), options)
