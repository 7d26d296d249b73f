from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory
from django.urls import reverse

from cachekit import browser
from cachekit.admin import CacheAdmin
from cachekit.dashboard import forms, views
from cachekit.models import Cache
from cachekit.purging import Target
from cachekit.stores import store_for
from tests.dashboard.people import PEOPLE, Login, url
from tests.test_browser import everything, fill

VIEWERS = {"viewer", "operator", "superuser"}
PURGERS = {"purger", "operator", "superuser"}

PAGES = {
    "changelist": VIEWERS,
    "keys": VIEWERS,
    "key": VIEWERS,
    "purge": PURGERS,
    "purge_confirm": PURGERS,
}


def address(page: str) -> str:
    if page == "keys":
        return url("keys", "default")
    if page == "key":
        return url("key", "default", browser.token_of(store_for("default").key("e", "x").encode()))
    return url(page)


def test_every_page_is_in_the_table() -> None:
    pages = {str(pattern.name).removeprefix("cachekit_cache_") for pattern in CacheAdmin(Cache, admin.site).get_urls()}

    assert pages == set(PAGES)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_for_those_who_may(page: str, who: str, method: str, login: Login) -> None:
    client = login(who)

    status = getattr(client, method)(address(page)).status_code

    if who in PAGES[page]:
        assert status in {200, 302, 404}
    else:
        assert status == (302 if who in {"anonymous", "visitor", "inactive"} else 403)


@pytest.mark.parametrize("who", PEOPLE)
def test_only_those_who_may_purge_do(who: str, login: Login) -> None:
    fill("default", 1)
    client = login(who)
    user_id = client.session.get("_auth_user_id", "0")
    note = forms.note(Target("default", "pattern", "*"), user_id)

    client.post(url("purge_confirm"), {"note": note})

    assert len(everything("default")) == (0 if who in PURGERS else 1)
    assert LogEntry.objects.count() == (1 if who in PURGERS else 0)


def test_the_missing_permission_is_named(login: Login) -> None:
    request = RequestFactory().get("/")
    request.user = login("staff").get(reverse("admin:index")).wsgi_request.user

    with pytest.raises(PermissionDenied, match=r"needs the permission “cachekit\.view_cache”"):
        views.overview(CacheAdmin(Cache, admin.site), request)


@pytest.mark.parametrize("who", ["viewer", "operator", "superuser"])
def test_the_menu_leads_to_the_overview_and_offers_nothing_to_add(who: str, login: Login) -> None:
    page = login(who).get(reverse("admin:index")).content.decode()

    assert url("changelist") in page
    assert "cachekit/cache/add" not in page


def test_staff_without_permission_see_no_menu(login: Login) -> None:
    assert "cachekit" not in login("staff").get(reverse("admin:index")).content.decode()


def test_a_form_without_its_token_is_refused(login: Login) -> None:
    fill("default", 1)
    operator = login("operator")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    note = forms.note(Target("default", "pattern", "*"), operator.session["_auth_user_id"])

    statuses = [strict.post(url(page), {"note": note}).status_code for page in ("purge", "purge_confirm")]

    assert statuses == [403, 403]
    assert len(everything("default")) == 1


@pytest.mark.parametrize("page", PAGES)
def test_looking_changes_nothing(page: str, operator: Client) -> None:
    fill("default", 3)
    before = everything("default")

    operator.get(address(page), {"by": "pattern", "what": "*", "alias": "default", "note": "x"})

    assert everything("default") == before
    assert not LogEntry.objects.exists()


def test_pages_are_not_kept_by_browsers(operator: Client) -> None:
    for page in PAGES:
        assert "no-store" in operator.get(address(page))["Cache-Control"]


def test_a_viewer_is_offered_no_purge(login: Login) -> None:
    fill("default", 1)
    viewer = login("viewer")
    (raw,) = everything("default")

    pages = [viewer.get(url("changelist")), viewer.get(url("key", "default", browser.token_of(raw)))]

    assert not any(url("purge") in page.content.decode() for page in pages)


def test_another_admin_site_works_too(settings: object, operator: Client) -> None:
    site = admin.AdminSite(name="second")
    site.register(Cache, CacheAdmin)

    names = {pattern.name for pattern in CacheAdmin(Cache, site).get_urls()}

    assert "cachekit_cache_changelist" in names
