"""`CachedViewSetMixin`: keep what the actions of a viewset answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.http.response import HttpResponseBase
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSetMixin

from cachekit.contrib.drf.rules import first, rules_of
from cachekit.contrib.drf.views import Kept, name_of


class CachedViewSetMixin:
    """Keep what `list` and `retrieve` answer: put it first, `class Products(CachedViewSetMixin, ModelViewSet)`.

    `cache_timeout` in seconds, `cache_options` what `cached_response` takes beside, `cache_actions` which actions are
    kept, each with options of its own. Methods that say `@cached_response` themselves go their own way.
    """

    cache_timeout: ClassVar[Any] = ...
    cache_options: ClassVar[Mapping[str, Any]] = {}
    cache_actions: ClassVar[Mapping[str, Mapping[str, Any]]] = {"list": {}, "retrieve": {}}
    cachekit_kept: ClassVar[dict[str, Kept]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check what is said where it is written."""
        super().__init_subclass__(**kwargs)
        first(cls, CachedViewSetMixin, APIView)
        cls.cachekit_kept = {action: Kept(rules_of(cls._said(options))) for action, options in cls._actions()}

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Any:
        """Return the view as ever. Raises TypeError for a class without actions: nothing of it would be kept."""
        if not issubclass(cls, ViewSetMixin):
            raise TypeError(
                f"{cls.__name__} is no viewset: it has no actions for CachedViewSetMixin to keep. Put "
                "@cached_response(600) above its get() instead, or make it a viewset."
            )
        return super().as_view(*args, **kwargs)  # type: ignore[misc]

    @classmethod
    def _actions(cls) -> Any:
        actions: Any = cls.cache_actions
        if not isinstance(actions, Mapping):
            raise TypeError(f"{cls.__name__}.cache_actions is a dict: {{'list': {{'timeout': 60}}}}; not {actions!r}")
        return actions.items()

    @classmethod
    def _said(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        timeout = {} if cls.cache_timeout is ... else {"timeout": cls.cache_timeout}
        return {**timeout, **cls.cache_options, **options}

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Let the request in as ever, then put the cache before the method that would answer it."""
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        action, method = getattr(self, "action", None), request.method.lower()
        kept = self.cachekit_kept.get(action or "")
        handler = getattr(self, method, None)
        if kept is None or handler is None or method not in ("get", "head") or hasattr(handler, "cachekit_rules"):
            return
        setattr(self, method, functools.partial(_answered, self, kept, name_of(type(self), str(action)), handler))


def _answered(
    view: Any, kept: Kept, name: str, handler: Callable[..., Any], request: Any, *args: Any, **kwargs: Any
) -> HttpResponseBase:
    return kept.answer(view, request, name, functools.partial(handler, request, *args, **kwargs))
