"""The pages: each gathers what its template prints; a store that is away is a sentence on the page, never an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from cachekit import browser, purging, stats
from cachekit.conf import conf
from cachekit.core.tally import WINDOWS
from cachekit.dashboard import checked, forms, panels, values, words
from cachekit.dashboard.access import PURGE, VIEW, needs, recent, record, said
from cachekit.exceptions import CachekitError, InvalidKey, StoreUnavailable
from cachekit.stores import aliases

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

SECTIONS = ("entries", "values", "beside")


@needs(VIEW)
def overview(admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    """Show how the caches do, and the one that was chosen in detail."""
    window = request.GET.get("window", "")
    window = window if window in WINDOWS else "1h"
    stats.flush()
    caches = [panels.cache(alias, window) for alias in aliases()]
    wanted = request.GET.get("cache", conf().ALIAS)
    chosen = next((one for one in caches if one.alias == wanted), caches[0] if caches else None)
    context = {
        "title": _("Cache"),
        "at_home": True,
        "caches": caches,
        "chosen": chosen,
        "problems": [one for one in caches if one.problem],
        "here": panels.here(),
        "window": WINDOWS[window],
        "windows": WINDOWS,
        "span": words.span(WINDOWS[window]),
        "queues": panels.queues(),
        "pause": conf().BREAKER_PAUSE,
        **_consistency(chosen),
        **_warmers(),
    }
    return _page(admin, request, "overview", context)


@needs(VIEW)
def keys(admin: ModelAdmin[Any], request: HttpRequest, alias: str) -> HttpResponse:
    """List the keys of an alias: the one of exactly this name first, then a page of those that match."""
    _known(alias)
    wanted, section = request.GET.get("q", ""), request.GET.get("in", "entries")
    section = section if section in SECTIONS else "entries"
    context: dict[str, Any] = {
        "title": _("Keys of %(alias)s") % {"alias": alias},
        "alias": alias,
        "aliases": aliases(),
        "q": wanted,
        "section": section,
    }
    try:
        if not request.GET.get("cursor"):
            context["exact"] = [values.Shown(row) for row in browser.exact(alias, wanted)]
        found = browser.page(alias, wanted, _whole(request, "cursor"), _whole(request, "scanned"), section=section)
        context |= {"page": found, "rows": [values.Shown(row) for row in found.rows]}
        context |= {"scanned": words.number(found.scanned), "total": words.number(found.total)}
        context["share"] = words.percent(found.scanned / found.total) if found.total else ""
    except StoreUnavailable as error:
        context["problem"] = str(error)
    return _page(admin, request, "keys", context)


@needs(VIEW)
def key(admin: ModelAdmin[Any], request: HttpRequest, alias: str, token: str) -> HttpResponse:
    """Show what is known of a key, and its value where that is safe."""
    _known(alias)
    try:
        raw = browser.raw_of(token)
    except InvalidKey as error:
        raise Http404(str(error)) from error
    context: dict[str, Any] = {"title": _("Key"), "alias": alias, "name": browser.visible(raw), "token": token}
    try:
        context["found"] = found = values.detail(alias, raw)
        if found is not None and found.header is not None:
            context["trace"] = checked.trace(alias, raw)
    except StoreUnavailable as error:
        context["problem"] = str(error)
    status = 200 if context.get("found") or "problem" in context else 404
    return _page(admin, request, "key", context, status)


@needs(PURGE)
def purge(admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    """Ask what to purge; a filled-in form leads to the page that shows what it would take."""
    posted = request.method == "POST"
    given = {name: request.GET[name] for name in ("alias", "by", "what", "model") if name in request.GET}
    form = forms.PurgeForm(request.POST) if posted else forms.PurgeForm(initial={"alias": conf().ALIAS, **given})
    if posted and form.is_valid():
        return _confirmation(admin, request, form.cleaned_data["target"])
    return _page(admin, request, "purge", {"title": _("Purge"), "form": form, "purges": recent()})


@needs(PURGE)
def confirm(admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    """Carry out what was confirmed, write it down, and go back to say what became of it."""
    here = reverse(f"{admin.admin_site.name}:cachekit_cache_purge")
    if request.method != "POST":
        return HttpResponseRedirect(here)
    try:
        target = forms.read(request.POST.get("note", ""), request.user.pk)
    except (signing.BadSignature, TypeError, ValueError):
        messages.error(request, _("This confirmation is too old or not yours. Nothing was purged: start again."))
        return HttpResponseRedirect(here)
    try:
        done = purging.purge(target, by=request.user.get_username())
    except CachekitError as error:
        messages.error(request, _("Nothing was purged: %(error)s") % {"error": error})
        return HttpResponseRedirect(here)
    record(request, target, done)
    (messages.success if done.complete else messages.warning)(request, said(target, done))
    return HttpResponseRedirect(here)


def _confirmation(admin: ModelAdmin[Any], request: HttpRequest, target: purging.Target) -> HttpResponse:
    context: dict[str, Any] = {"title": _("Purge: are you sure?"), "target": target}
    context["note"] = forms.note(target, request.user.pk)
    if target.by in ("tag", "model"):
        context["tags"] = purging.tags_of(target)
    try:
        preview = purging.preview(target)
        context |= {"preview": preview, "sample": [browser.discreet(raw) for raw in preview.sample]}
    except StoreUnavailable as error:
        context["problem"] = str(error)
    return _page(admin, request, "confirm", context)


def _page(
    admin: ModelAdmin[Any], request: HttpRequest, name: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """Render a page of the admin site that this admin is registered with."""
    request.current_app = admin.admin_site.name
    everywhere = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "may_purge": request.user.has_perm(PURGE),
        "may_view": request.user.has_perm(VIEW),
    }
    return TemplateResponse(request, f"admin/cachekit/{name}.html", {**everywhere, **context}, status=status)


def _known(alias: str) -> None:
    if alias not in aliases():
        raise Http404(_("CACHES has no cachekit alias “%(alias)s”.") % {"alias": alias})


def _whole(request: HttpRequest, name: str) -> int:
    """Read a number from the address; what is none counts as zero."""
    text = request.GET.get(name, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0


def _consistency(chosen: panels.Cache | None) -> dict[str, Any]:
    if chosen is None or chosen.problem:
        return {}
    try:
        return {"consistency": checked.panel(chosen.alias, chosen.window.name)}
    except CachekitError:
        return {}


def _warmers() -> dict[str, Any]:
    try:
        runs, never = panels.warmers()
    except CachekitError:
        return {"runs": None, "never": []}
    return {"runs": runs, "never": never}
