"""An answer is for those who may see it, and for nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import AsyncClient, Client
from django.utils import timezone, translation
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate

from tests.contrib.drf.answers import CALLS, NEVER, greeting
from tests.contrib.drf.api import made
from tests.contrib.drf.conftest import Ask, seen
from tests.zoo.builders import make_author

pytestmark = pytest.mark.django_db(transaction=True)


def results(ask: Ask, *what: tuple[Any, ...], **headers: str) -> list[str]:
    return [seen(ask(*one, **headers)) for one in what]


def test_each_user_has_an_answer_of_their_own(ask: Ask, alice: User, bob: User) -> None:
    for where in ("mine/", "function/"):
        for result in ("MISS", "HIT"):
            for person in (alice, None, bob):
                response = ask(where, person)
                assert response.json()["hello"] == str(person or "AnonymousUser")
                assert seen(response) == result
                assert "private" in response["Cache-Control"]
                assert {"Authorization", "Cookie"} <= set(response["Vary"].split(", "))


def test_a_session_is_as_good_as_a_header(alice: User, bob: User) -> None:
    visitors = {"alice": Client(), "bob": Client()}
    for person in (alice, bob):
        visitors[person.username].force_login(person)

    for result in ("MISS", "HIT"):
        for name, visitor in visitors.items():
            response = visitor.get("/mine/")
            assert (response.json()["hello"], seen(response)) == (name, result)


def test_visitors_with_a_session_share_with_those_who_have_none(alice: User) -> None:
    with_session = Client()
    with_session.force_login(alice)

    assert [seen(visitor.get("/shared/")) for visitor in (Client(), with_session)] == ["MISS", "HIT"]


def test_what_a_user_is_called_is_part_of_the_question(ask: Ask, alice: User) -> None:
    ask("mine/", alice)

    User.objects.filter(pk=alice.pk).update(username="alicia")

    assert ask("mine/", "alicia").json()["hello"] == "alicia"


def test_what_changes_with_each_visit_may_be_left_out(ask: Ask, alice: User) -> None:
    for where, expected in (("mine/", ["MISS", "MISS"]), ("mine/but/", ["MISS", "HIT"])):
        results = []
        for _ in range(2):
            User.objects.filter(pk=alice.pk).update(last_login=timezone.now())
            results.append(seen(ask(where, alice)))
        assert results == expected


class Claims:
    """A user without a row, as those of stateless tokens are."""

    is_authenticated = True

    def __init__(self, pk: Any, **claims: Any) -> None:
        self.pk = pk
        self.claims = claims

    def __str__(self) -> str:
        return f"{self.pk} {self.claims}"


def test_users_without_a_row_are_told_apart_or_not_answered_from_the_cache() -> None:
    def answer(where: Any, user: Any) -> Any:
        request = APIRequestFactory().get("/")
        force_authenticate(request, user)
        return where(request)

    mine, by_rights = made(greeting), made(greeting, vary=("permissions",))
    users = [Claims(1, role="a"), Claims(1, role="b"), Claims(2, role="a"), Claims(1, role="a")]

    assert [seen(answer(mine, one)) for one in users] == ["MISS", "MISS", "MISS", "HIT"]
    assert [seen(answer(mine, one)) for one in (Claims(None), Claims(3, odd=object()))] == ["BYPASS"] * 2
    assert seen(answer(by_rights, Claims(1))) == "BYPASS"


def test_all_share_what_says_so(ask: Ask, alice: User, bob: User) -> None:
    for where, control in (("shared/", "private, no-cache"), ("public/", "public, no-cache")):
        responses = [ask(where, person) for person in (alice, bob, None)]
        assert [seen(one) for one in responses] == ["MISS", "HIT", "HIT"]
        assert {one["Cache-Control"] for one in responses} == {control}
        assert "Authorization" not in responses[0].get("Vary", "")


def test_never_kept_for_all(ask: Ask, alice: User) -> None:
    for name in NEVER:
        CALLS.clear()
        for person in (alice, None, alice, None):
            response = ask(f"never/{name.replace(' ', '_')}/", person)
            assert seen(response) in ("MISS", ""), name
            assert "ETag" not in response.headers, name
        assert len(CALLS) == 4, name


def test_the_browsable_api_is_never_kept(ask: Ask, alice: User, bob: User) -> None:
    for person in (alice, bob, None):
        response = ask("mine/browsable/", person, accept="text/html")
        assert seen(response) == "BYPASS"
        assert (person.username if person else "bob") in response.content.decode() or person is None
        assert "alice" not in response.content.decode() or person == alice


def test_permissions_and_throttles_are_asked_each_time(ask: Ask, alice: User, bob: User) -> None:
    alice.user_permissions.add(Permission.objects.get(codename="view_book"))

    assert [ask("guarded/", one).status_code for one in (alice, bob, None)] == [200, 403, 403]
    assert seen(ask("guarded/", alice)) == "HIT"
    assert ask("guarded/?throttle", alice).status_code == 429
    alice.user_permissions.clear()
    assert ask("guarded/", alice).status_code == 403
    assert CALLS.count("get") == 1


def test_those_who_must_sign_in_share_once_they_have(ask: Ask, alice: User, bob: User) -> None:
    assert [ask("signed/", one).status_code for one in (alice, None, bob)] == [200, 403, 200]
    assert seen(ask("signed/", bob)) == "HIT"
    assert ask("signed/", "nobody").status_code == 403


def test_users_with_the_same_permissions_share(
    ask: Ask, alice: User, bob: User, django_assert_num_queries: Any
) -> None:
    may_add = Permission.objects.get(codename="add_book")
    carol = User.objects.create_user("carol")
    group = Group.objects.create(name="editors")
    group.permissions.add(may_add)
    alice.user_permissions.add(may_add)
    bob.groups.add(group)
    people = (alice, bob, carol)

    assert [ask("rights/", one).json()["add"] for one in people] == [True, True, False]
    assert CALLS == ["get", "get"]
    with django_assert_num_queries(3):  # three look-ups of users
        assert results(ask, *(("rights/", one) for one in people)) == ["HIT"] * 3
    bob.groups.clear()
    carol.is_superuser = True
    carol.save()
    assert [ask("rights/", one).json()["add"] for one in people] == [True, False, True]
    assert ask("rights/").json()["add"] is False


@pytest.mark.parametrize("where", ["rights/name/", "rights/object/"])
def test_what_shows_more_of_a_user_than_permissions_is_not_shared(where: str, ask: Ask, alice: User, bob: User) -> None:
    assert results(ask, (where, alice), (where, bob), (where, alice)) == ["MISS"] * 3


def test_an_authorization_that_nobody_understood_passes_by(ask: Ask, alice: User) -> None:
    for where in ("mine/", "shared/"):
        ask(where)
        assert seen(ask(where, authorization="Key secret")) == "BYPASS"
    assert results(ask, ("public/",), ("public/",), authorization="Key secret") == ["MISS", "HIT"]


def test_what_a_user_showed_counts_where_it_is_said(ask: Ask, alice: User) -> None:
    for result in ("MISS", "HIT"):
        for word in ("read", "write"):
            response = ask("word/", f"alice/{word}")
            assert (response.json()["word"], seen(response)) == (word, result)


def test_what_signs_somebody_in_is_not_kept(ask: Ask) -> None:
    for where in ("signs/in/?as=alice", "signs/below/?as=alice"):
        for _ in range(2):
            response = ask(where)
            assert (response.json()["hello"], seen(response)) == ("alice", "MISS")


def test_a_session_counts_where_it_is_said(ask: Ask) -> None:
    def visitor(cart: str) -> Client:
        client = Client()
        session = client.session
        session["cart"] = cart
        session.save()
        client.cookies["sessionid"] = str(session.session_key)
        return client

    mine, yours = visitor("mine"), visitor("yours")
    for result in ("MISS", "HIT"):
        responses = [one.get("/cart/") for one in (mine, yours)]
        assert [one.json()["cart"] for one in responses] == ["mine", "yours"]
        assert [seen(one) for one in responses] == [result] * 2


def test_headers_count_where_they_are_said(ask: Ask) -> None:
    for result in ("MISS", "HIT"):
        for currency in ("eur", "usd", "", None):
            response = ask("currency/", **({} if currency is None else {"X_Currency": currency}))
            assert (response.json()["in"], seen(response)) == (currency, result)
            assert "x-currency" in response["Vary"]


def test_functions_count_and_answer_for_what_they_look_at(ask: Ask, alice: User, bob: User) -> None:
    anna = User.objects.create_user("anna")

    assert results(ask, ("letter/", alice), ("letter/", bob), ("letter/", anna)) == ["MISS", "MISS", "HIT"]
    for result in ("MISS", "HIT"):
        for currency in ("eur", "usd"):
            response = ask("cookies/", cookie=f"currency={currency}")
            assert (response.json()["in"], seen(response)) == (currency, result)
    assert results(ask, ("cookies/name/", alice), ("cookies/name/", alice)) == ["MISS", "MISS"]


def test_renderers_media_types_and_versions_make_other_answers(ask: Ask) -> None:
    asked = [
        {}, {"accept": "text/plain"}, {"accept": "application/json; indent=2"},
    ]  # fmt: skip
    bodies = {ask("several/", **headers).content for headers in asked}
    versions = [seen(ask(f"several/?version={one}")) for one in ("1", "2", "1")]

    assert len(bodies) == 3
    assert [seen(ask("several/", **headers)) for headers in asked] == ["HIT"] * 3
    assert versions == ["MISS", "MISS", "HIT"]
    assert seen(ask("several/?format=txt")) == "MISS"
    assert b"!" in ask("several/?format=txt").content


def test_hosts_schemes_and_places_make_other_answers(ask: Ask) -> None:
    ask("shared/")

    assert seen(ask("shared/", host="other.example")) == "MISS"
    assert seen(APIClient().get("/shared/", secure=True)) == "MISS"
    for around in (translation.override("nl"), timezone.override("Asia/Tokyo")):
        with around:
            assert results(ask, ("shared/",), ("shared/",)) == ["MISS", "HIT"]
    assert seen(ask("shared/")) == "HIT"


def test_what_a_view_fetched_before_it_was_asked_is_part_of_the_question(ask: Ask) -> None:
    author = make_author("Ada")
    assert ask(f"author/{author.pk}/").json() == {"name": "Ada"}

    author.name = "Grace"
    author.save()

    assert ask(f"author/{author.pk}/").json() == {"name": "Grace"}
    assert seen(ask(f"author/{author.pk}/")) == "HIT"


def test_what_a_view_chose_before_it_was_asked_is_part_of_the_question(ask: Ask, alice: User, bob: User) -> None:
    for person, kind, result in ((alice, "Author", "MISS"), (None, "Book", "MISS"), (bob, "Author", "HIT")):
        response = ask("chooses/", person)
        assert (response.json(), seen(response)) == (f"{kind}Serializer", result)


def test_what_a_view_keeps_on_itself_passes_by_unless_it_makes_no_difference(ask: Ask) -> None:
    assert results(ask, ("timed/",), ("timed/",)) == ["BYPASS"] * 2
    assert results(ask, ("timed/ignored/",), ("timed/ignored/",)) == ["MISS", "HIT"]


def test_a_view_that_finishes_in_its_own_way_does_so_once(ask: Ask) -> None:
    assert ask("enveloped/").json() == {"envelope": {"calls": 1}}
    assert ask("enveloped/").json() == {"envelope": {"calls": 1}}


@pytest.mark.parametrize("method", ["post", "put", "options"])
def test_methods_that_are_not_safe_are_never_kept(method: str, ask: Ask) -> None:
    first = ask("shared/")

    ask("shared/", method=method)
    ask("shared/", method=method)

    assert ask("shared/").json() == first.json()
    assert CALLS.count("post") == (2 if method == "post" else 0)


def test_ranges_pass_by(ask: Ask) -> None:
    assert seen(ask("shared/", range="bytes=0-1")) == "BYPASS"


def test_under_asgi_nothing_is_different(alice: User) -> None:
    visitor = AsyncClient()

    async def twice() -> list[Any]:
        return [await visitor.get("/mine/", headers={"authorization": "Name alice"}) for _ in range(2)]

    responses = asyncio.run(twice())

    assert [seen(one) for one in responses] == ["MISS", "HIT"]
    assert {one.json()["hello"] for one in responses} == {"alice"}
