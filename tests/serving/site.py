"""The site: what a process reads out of its near cache, and what it writes, told to whoever asks."""

from __future__ import annotations

import os
from typing import Any

import django

django.setup()

from asgiref.sync import sync_to_async  # noqa: E402 - after Django is set up, here and below
from django.core.cache import cache  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

from cachekit import cached, near  # noqa: E402
from tests.patience import until  # noqa: E402
from tests.zoo.models import Book  # noqa: E402

site_cache: Any = cache


@cached(600, near=True)
def title() -> str:
    """Return what the database holds."""
    return Book.objects.values_list("title", flat=True).get()


@cached(600, near=True)
async def atitle() -> str:
    """Like `title`."""
    return await Book.objects.values_list("title", flat=True).aget()


def holds_all() -> bool:
    """Tell whether this process holds what it reads, and knows it to be fresh."""
    nearby = site_cache._nearby
    nears = (near.present("default"), nearby and nearby.near)
    return all(one and len(one) and all(map(one.get, list(one._entries))) for one in nears)


def shown(text: str = "") -> dict[str, Any]:
    """Write if there is something to write, and read."""
    if text:
        write(text)
    return {"pid": os.getpid(), "shown": [title(), site_cache.get("title")], "near": holds_all()}


async def ashown(text: str = "") -> dict[str, Any]:
    """Like `shown`."""
    if text:
        await sync_to_async(write)(text)
    return {"pid": os.getpid(), "shown": [await atitle(), await site_cache.aget("title")], "near": holds_all()}


def write(text: str) -> None:
    """Write to the database and to the cache."""
    Book.objects.update(title=text)
    site_cache.set("title", text)


def show(request: HttpRequest, text: str = "") -> JsonResponse:
    """Answer a server that calls."""
    return JsonResponse(shown(text))


async def ashow(request: HttpRequest, text: str = "") -> JsonResponse:
    """Answer a server that awaits."""
    return JsonResponse(await ashown(text))


def follow() -> None:
    """Have the mirror's thread and connection before workers are forked."""
    site_cache.get("title")
    until(site_cache._nearby.moment)


urlpatterns = [path("", show), path("write/<text>", show), path("a", ashow), path("a/write/<text>", ashow)]
wsgi = WSGIHandler()
asgi = ASGIHandler()
if os.environ.get("SERVING_FOLLOWS"):
    follow()
