"""Hits of `@cached`, `{% cached %}` and `@cached_view` beside the same over django-redis: `python -m benchmarks.doors`.

cachekit's hits check in the same round trip that nothing they depend on was written since; the others' do not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from benchmarks.harness import Comparison, Peer, compare, report
from tests.servers import Valkey

DEPENDENCIES = ("shop.product#42", "shop.category", "homepage")
VALUE = {"name": "diamond", "price": 326, "tags": ["ideal", "E", "SI2"]}
BODY = "<p>diamond</p>" * 700


def configured(url: str) -> None:
    """Set Django up with cachekit and django-redis on this server."""
    backends = {"default": "cachekit.backends.RedisCache", "django-redis": "django_redis.cache.RedisCache"}
    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        CACHES={name: {"BACKEND": path, "LOCATION": url, "KEY_PREFIX": name} for name, path in backends.items()},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.contenttypes", "cachekit"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="only for measuring " * 3,
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        USE_TZ=True,
    )
    django.setup()


urlpatterns: list[Any] = []


def functions() -> dict[str, Peer]:
    """Return a function's hit, cached by hand over django-redis and by `@cached`."""
    from django.core.cache import caches

    from cachekit import cached
    from cachekit.core.capture import depend

    plain = caches["django-redis"]

    def by_hand(number: int) -> Any:
        key = f"product:{number}"
        found = plain.get(key)
        if found is None:
            plain.set(key, VALUE, 600)
            found = VALUE
        return found

    @cached(600, jitter=0)
    def by_cachekit(number: int) -> Any:
        depend(*DEPENDENCIES)
        return VALUE

    return {"django-redis": lambda: by_hand(42), "cachekit": lambda: by_cachekit(42)}


def pages() -> dict[str, Peer]:
    """Return a page's hit through Django's handler: no cache, `cache_page` over django-redis, `@cached_view`."""
    from django.core.handlers.base import BaseHandler
    from django.test import RequestFactory
    from django.urls import path
    from django.views.decorators.cache import cache_page

    from cachekit import cached_view
    from cachekit.core.capture import depend

    def view(request: HttpRequest) -> HttpResponse:
        depend(*DEPENDENCIES)
        return HttpResponse(BODY)

    views: dict[str, Callable[..., Any]] = {
        "django-redis": cache_page(600, cache="django-redis")(view),
        "cachekit": cached_view(600, jitter=0)(view),
        "null view": view,
    }
    urlpatterns.extend(path(name.replace(" ", "-") + "/", each) for name, each in views.items())
    handler, factory = BaseHandler(), RequestFactory()
    handler.load_middleware()

    def peer(name: str) -> Peer:
        url = f"/{name.replace(' ', '-')}/"
        return lambda: handler.get_response(factory.get(url))

    return {name: peer(name) for name in views}


def fragments() -> dict[str, Peer]:
    """Return a fragment's hit: Django's `{% cache %}` over django-redis, `{% cached %}`."""
    from django.template import Context, engines

    engine = engines["django"].engine  # type: ignore[attr-defined]
    theirs = engine.from_string(
        '{% load cache %}{% cache 600 "sidebar" 42 using="django-redis" %}{{ body }}{% endcache %}'
    )
    ours = engine.from_string('{% load cachekit %}{% cached 600 "sidebar" 42 %}{{ body }}{% endcached %}')
    return {
        "django-redis": lambda: theirs.render(Context({"body": BODY})),
        "cachekit": lambda: ours.render(Context({"body": BODY})),
    }


def main(*, chunks: int = 60) -> list[Comparison]:
    """Start a server, compare, print the table."""
    with Valkey() as server:
        configured(server.url)
        found = [
            compare("@cached, hit", functions(), chunks=chunks, calls=100),
            compare("page through the handler, hit", pages(), chunks=chunks, calls=50),
            compare("template fragment, hit", fragments(), chunks=chunks, calls=50),
        ]
    print(report("doors", found))
    return found


if __name__ == "__main__":
    main(chunks=15 if "--quick" in sys.argv else 60)
