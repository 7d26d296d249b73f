"""The recipes of docs/how-to/sessions-and-tokens.md: what they ask the database, and how soon a revocation is seen."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from cachekit import invalidate
from tests.processes import line_of, process
from tests.recipes.denylist import forget_expired, is_revoked, revoke
from tests.recipes.permissions import CachedPermissionsBackend, permissions_of
from tests.recipes.tokens import CachedTokenAuthentication, user_of_token
from tests.walk import ROOT, blocks
from tests.zoo.builders import make_author
from tests.zoo.models import RevokedToken

PAGE = ROOT / "docs" / "how-to" / "sessions-and-tokens.md"
lasting = pytest.mark.django_db(transaction=True)


def token_of(name: str) -> Token:
    return Token.objects.create(user=User.objects.create(username=name))


def authenticated(token: Token) -> str:
    """Return whom the site takes the bearer of a token for."""
    request = Request(APIRequestFactory().get("/", headers={"authorization": f"Token {token.key}"}))
    found = CachedTokenAuthentication().authenticate(request)
    assert found is not None
    assert found[1].key == token.key
    return str(found[0].username)


@lasting
def test_a_token_is_looked_up_once_and_refused_as_soon_as_it_is_deleted(django_assert_num_queries: Any) -> None:
    ada, bob = token_of("ada"), token_of("bob")

    assert [authenticated(ada), authenticated(bob)] == ["ada", "bob"]
    bob.delete()
    make_author()
    with django_assert_num_queries(0):
        assert authenticated(ada) == "ada"
    with pytest.raises(AuthenticationFailed, match="Invalid token"):
        authenticated(bob)


@lasting
def test_a_user_who_is_deactivated_is_refused(django_assert_num_queries: Any) -> None:
    ada = token_of("ada")
    authenticated(ada)

    User.objects.filter(username="ada").update(is_active=False)
    with pytest.raises(AuthenticationFailed, match="inactive"):
        authenticated(ada)
    User.objects.filter(username="ada").update(is_active=True)
    authenticated(ada)
    assert invalidate(user_of_token.tag)
    with django_assert_num_queries(2):
        assert authenticated(ada) == "ada"


def permission(codename: str) -> Permission:
    return Permission.objects.get(codename=codename, content_type__app_label="zoo")


@lasting
def test_permissions_are_looked_up_once_and_anew_when_anything_about_them_changes(
    settings: Any, django_assert_num_queries: Any
) -> None:
    settings.AUTHENTICATION_BACKENDS = [f"{CachedPermissionsBackend.__module__}.{CachedPermissionsBackend.__name__}"]
    ada, staff = User.objects.create(username="ada"), Group.objects.create(name="staff")

    def may(what: str, awaited: bool = False) -> bool:
        fresh = User.objects.get(pk=ada.pk)  # as each request has
        return bool(async_to_sync(fresh.ahas_perm)(what) if awaited else fresh.has_perm(what))

    assert not may("zoo.change_book")
    with django_assert_num_queries(2):
        assert not may("zoo.change_book")
        assert not may("zoo.change_book", awaited=True)
    staff.permissions.add(permission("change_book"))
    assert not may("zoo.change_book")
    ada.groups.add(staff)
    assert may("zoo.change_book")
    assert may("zoo.change_book", awaited=True)
    staff.permissions.remove(permission("change_book"))
    assert not may("zoo.change_book")
    ada.user_permissions.add(permission("add_book"))
    assert may("zoo.add_book")
    staff.permissions.set([permission("view_book")])
    assert may("zoo.view_book")
    staff.delete()
    assert not may("zoo.view_book")
    User.objects.filter(pk=ada.pk).update(is_superuser=True)
    assert may("zoo.delete_book")
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert not may("zoo.delete_book")


@lasting
def test_a_revoked_token_is_seen_at_once_and_others_stay_kept(django_assert_num_queries: Any) -> None:
    later = timezone.now() + timedelta(hours=1)
    assert [is_revoked("one"), is_revoked("two")] == [False, False]

    revoke("one", later)
    with django_assert_num_queries(0):
        assert not is_revoked("two")
    assert is_revoked("one")
    with django_assert_num_queries(0):
        assert is_revoked("one")
    RevokedToken.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    forget_expired()
    assert not is_revoked("one")


@lasting
def test_a_json_web_token_that_was_revoked_is_refused(django_assert_num_queries: Any) -> None:
    pytest.importorskip("rest_framework_simplejwt", reason="djangorestframework-simplejwt is not installed")
    from rest_framework_simplejwt.exceptions import InvalidToken
    from rest_framework_simplejwt.tokens import AccessToken

    from tests.recipes.jwt import RevocableJWTAuthentication

    token = AccessToken.for_user(User.objects.create(username="ada"))
    raw, authentication = str(token).encode(), RevocableJWTAuthentication()

    authentication.get_validated_token(raw)
    with django_assert_num_queries(0):
        authentication.get_validated_token(raw)
    revoke(token["jti"], timezone.now() + timedelta(hours=1))
    with pytest.raises(InvalidToken, match="revoked"):
        authentication.get_validated_token(raw)


ANOTHER = """
import django; django.setup()
from cachekit import cached
from rest_framework.authtoken.models import Token
from tests.recipes.denylist import is_revoked
from tests.recipes.permissions import permissions_of
from tests.recipes.tokens import user_of_token

near = cached(600, near=True, name="near")(user_of_token.__wrapped__)
ask = {"strict": user_of_token, "near": near, "revoked": is_revoked, "may": lambda pk: sorted(permissions_of(int(pk)))}
print("ready", flush=True)
while True:
    what, key = input().split()
    try:
        print(ask[what](key), flush=True)
    except Token.DoesNotExist:
        print("refused", flush=True)
"""


@lasting
@pytest.mark.processes
def test_another_process_sees_a_revocation_with_its_next_read_and_near_ones_within_the_bound() -> None:
    ada, bob = token_of("ada"), token_of("bob")
    with process(ANOTHER) as child:
        assert child.stdin
        assert line_of(child) == "ready"

        def ask(what: str, key: Any) -> str:
            assert child.stdin
            child.stdin.write(f"{what} {key}\n")
            child.stdin.flush()
            return line_of(child)

        for _ in range(3):
            assert [ask("strict", ada.key), ask("near", bob.key)] == ["ada", "bob"]
            assert [ask("revoked", "one"), ask("may", ada.user_id)] == ["False", "[]"]
        bob.delete()
        gone = time.monotonic()
        ada.delete()
        assert ask("strict", ada.key) == "refused"
        revoke("one", timezone.now() + timedelta(hours=1))
        assert ask("revoked", "one") == "True"
        ada.user.user_permissions.add(permission("add_book"))
        assert ask("may", ada.user_id) == "['zoo.add_book']"
        time.sleep(max(0.0, gone + 0.5 - time.monotonic()))  # the bound is 0.4 s, however busy the machine
        assert ask("near", bob.key) == "refused"


def shown() -> list[Any]:
    """Return the page's code that names a file of its own."""
    named = [(re.match(r"# shop/(\w+)\.py\n", block.text), block.text) for block in blocks(PAGE)]
    return [pytest.param(found[1], text, id=found[1]) for found, text in named if found]


@pytest.mark.parametrize(("name", "code"), shown())
def test_the_page_shows_the_code_that_is_tested(name: str, code: str) -> None:
    path = Path("tests/zoo/models.py") if name == "models" else Path(f"tests/recipes/{name}.py")
    body = re.split(r"\n\n\n", code.strip(), maxsplit=1)[1]

    assert body in (ROOT / path).read_text()


def test_permissions_of_nobody_are_none() -> None:
    from django.contrib.auth.models import AnonymousUser

    assert CachedPermissionsBackend().get_all_permissions(AnonymousUser()) == set()
    assert permissions_of.tag.endswith("permissions_of")
