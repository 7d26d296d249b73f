"""`{% cached %}`: keep a rendered fragment of a template."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django import template
from django.template.base import FilterExpression, Node, NodeList, Parser, Token, Variable
from django.template.context import Context
from django.utils.functional import Promise, SimpleLazyObject, empty
from django.utils.safestring import SafeString, mark_safe

from cachekit import engine, passed, sharing
from cachekit.core import keys
from cachekit.core.capture import current
from cachekit.core.policy import Spec
from cachekit.exceptions import InvalidKey
from cachekit.specs import Door, place, surroundings

register = template.Library()

PERSONAL = frozenset({"user", "perms", "request", "messages"})
"""Variables that differ from visitor to visitor."""
OPTIONS = frozenset({"tags", "alias", "grace", "jitter", "wait", "negative_timeout", "near", "memo", "audit"})
LITERALS: dict[str, Any] = {"True": True, "False": False, "None": None}
REMEMBERED = keys.EXACT | {SafeString}


class Layer(dict[str, Any]):
    """The topmost layer of a context while a fragment is rendered: it notes who asks for personal variables below.

    Rows that were read before the fragment began would pass for news in it: they are read again.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.asked: set[str] = set()
        self._below = tuple(context.dicts)

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        if name in PERSONAL:
            self.asked.add(str(name))
            return False
        held = next((one[name] for one in reversed(self._below) if dict.__contains__(one, name)), None)
        renewed = passed.renewed(held)
        if renewed is held:
            return False
        self[str(name)] = renewed
        return True


class CachedNode(Node):
    """A fragment, its name, and what it varies on."""

    def __init__(
        self, nodelist: NodeList, arguments: tuple[FilterExpression, ...], options: dict[str, FilterExpression]
    ) -> None:
        self.nodelist = nodelist
        self.timeout, self.name, *self.vary = arguments
        self.options = options
        self.named = {part for one in self.vary for part in _names(one)}
        self._doors: dict[Any, Door] = {}
        self._fixed = ... not in map(_literal, (self.timeout, self.name, *options.values()))
        written = tuple(map(_literal, self.vary))
        self._written = written if ... not in written else None
        self._only: Door | None = None

    def render(self, context: Context) -> SafeString:
        """Return the fragment kept for these variables, rendered if there is none that is fresh."""
        spec = self._spec(self._only or self._door(context), context)
        text: str = engine.get_or_set(spec, lambda: self._produced(context))
        return text if type(text) is SafeString else mark_safe(text)  # noqa: S308 - rendered by a template

    def _spec(self, door: Door, context: Context) -> Spec:
        """Return where the fragment is kept; plain variables that were seen before cost no hashing."""
        values = self._written
        if values is None:
            values = tuple([_value(one.resolve(context)) for one in self.vary])
        form = (context.autoescape, context.use_l10n, context.use_tz)
        kinds = tuple(map(type, values))
        if not REMEMBERED.issuperset(kinds):
            return door.spec(_fingerprint(form, values))
        ident = (place(), form, values, kinds)
        spec = door.remembered(ident)
        if spec is None:
            spec = door.spec(_fingerprint(form, values))
            if all(map(keys.is_short, values)):
                door.remember(ident, spec)
        return spec

    def _produced(self, context: Context) -> str:
        request, layer = _found(context, "request"), Layer(context)
        watched = nullcontext(sharing.Watch()) if request is None else sharing.watching(request)
        with watched as watch:
            context.dicts.append(layer)
            try:
                text = str(self.nodelist.render(context))
            finally:
                context.dicts.pop()
        capture = current.get()
        watch.csrf = watch.csrf or _holds_token(context, text)
        if capture is not None and (reason := self._obstacle(text, watch, layer.asked)):
            capture.refuse(reason)
        return text

    def _obstacle(self, text: str, watch: sharing.Watch, asked: set[str]) -> str:
        """Tell why this text must not be shown to others, or nothing."""
        if watch.csrf or "csrfmiddlewaretoken" in text:
            return "it holds a CSRF token"
        personal = (asked | ({"user"} if watch.user else set())) - self.named
        if "user" in self.named:
            personal.discard("perms")
        if personal:
            names = ", ".join(sorted(personal))
            return f"it shows {names}, which differs from visitor to visitor: name it after the fragment's name"
        return "it reads the session" if watch.session and not {"user", "session"} & self.named else ""

    def _door(self, context: Context) -> Door:
        """Return the door for this rendering; the same arguments make the same one."""
        name = self.name.resolve(context)
        if name is None or name == "":
            said = self.name.token
            raise template.TemplateSyntaxError(f"'cached' takes a name; {said} is empty here. In quotes: \"{said}\".")
        options = {key: value.resolve(context) for key, value in self.options.items()}
        timeout = self.timeout.resolve(context)
        known = (name, timeout, tuple(options.items()))
        if known not in self._doors:
            if len(self._doors) > 1000:
                self._doors.clear()
            if "tags" in options:
                options["tags"] = tuple(str(options["tags"]).split())
            self._doors[known] = Door("fragment", str(name), {"timeout": _seconds(timeout), **options})
        if self._fixed:
            self._only = self._doors[known]
        return self._doors[known]


def _fingerprint(form: tuple[Any, ...], values: tuple[Any, ...]) -> str:
    """Return what tells one rendering from another. Raises InvalidKey."""
    try:
        return keys.fingerprint(surroundings(), form, *values)
    except InvalidKey as error:
        raise InvalidKey(f'{error} Name something of it that makes one: {{% cached 600 "name" thing.pk %}}.') from error


def _literal(expression: FilterExpression) -> Any:
    """Return a value that stands in the template itself, so that it is the same each time; else an ellipsis."""
    value: Any = expression.var
    if expression.filters:
        return ...
    if isinstance(value, Variable):
        return LITERALS.get(str(value.var), ... if value.lookups or value.translate else value.literal)
    return value if isinstance(value, str) else ...


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
    """Return the parts of a variable's name: `request.user.pk` names the user."""
    return set(getattr(expression.var, "lookups", None) or ())


def _found(context: Context, name: str) -> Any:
    """Return a variable, or None, without any layer noting that it was asked for."""
    return next((one[name] for one in reversed(context.dicts) if dict.__contains__(one, name)), None)


def _holds_token(context: Context, text: str) -> bool:
    """Tell whether a text holds the CSRF token; one made for what stands before it is not asked for again."""
    token = _found(context, "csrf_token")
    made = not isinstance(token, SimpleLazyObject) or token.__dict__.get("_wrapped") is not empty
    return bool(token) and str(token) in text if made else False


def _value(value: Any) -> Any:
    return str(value) if isinstance(value, Promise) else value


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
        if mark and name in OPTIONS:
            options[name] = parser.compile_filter(value)
        elif mark and name.isidentifier():
            known = ", ".join(sorted(OPTIONS))
            raise template.TemplateSyntaxError(f"'cached' has no option {name!r}; it has {known}")
        else:
            arguments.append(parser.compile_filter(bit))
    if len(arguments) < 2:
        raise template.TemplateSyntaxError(
            "'cached' takes a timeout and a name, then what it varies on: {% cached 600 \"sidebar\" user.pk %}"
        )
    return CachedNode(nodelist, tuple(arguments), options)
