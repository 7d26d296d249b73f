from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.core import signing
from django.test import Client

from cachekit import browser, invalidation, stats
from cachekit.dashboard import forms
from cachekit.purging import Target
from cachekit.stores import store_for
from tests.dashboard.people import Login, url
from tests.test_browser import everything, fill


def preview(client: Client, **data: str) -> str:
    page = client.post(url("purge"), {"alias": "default", **data})
    assert page.status_code == 200
    return page.content.decode()


def confirm(client: Client, page: str) -> str:
    note = re.search(r'name="note" value="([^"]+)"', page)
    assert note is not None, page
    answer = client.post(url("purge_confirm"), {"note": note[1]}, follow=True)
    assert answer.redirect_chain == [(url("purge"), 302)]
    return answer.content.decode()


def logged() -> tuple[str, str, str, int]:
    entry = LogEntry.objects.get()
    return entry.user.username, entry.object_id or "", entry.get_change_message(), entry.action_flag


def test_a_pattern_is_shown_then_purged_then_logged(operator: Client) -> None:
    fill("default", 7, "red")
    fill("default", 3, "blue")

    shown = preview(operator, by="pattern", what="*red*")
    assert "7 keys are concerned." in shown
    assert len(everything("default")) == 10
    result = confirm(operator, shown)

    assert len(everything("default")) == 3
    said = "Removed 7 keys by pattern “*red*” from cache “default”."
    assert said in result
    assert logged() == ("operator", "default", said, DELETION)


def test_a_key_is_purged_from_its_page(operator: Client) -> None:
    store: Any = store_for("default")
    raw = store.key("e", "").encode() + b"ugly\n\xff/../<b>"
    store.client.set(raw, b"1")
    page = operator.get(url("key", "default", browser.token_of(raw))).content.decode()
    fields = dict(re.findall(r'name="(alias|by|token)" value="([^"]*)"', page))

    result = confirm(operator, preview(operator, **fields))

    assert everything("default") == []
    assert "Removed 1 key by key" in result
    assert LogEntry.objects.get().object_repr == r"key ck:e:ugly\n\xff/../<b>"


def test_a_tag_is_purged(operator: Client) -> None:
    fill("default", 2, "k", "homepage")

    page = preview(operator, by="tag", what="homepage")
    assert "2 keys are concerned. They stay until they expire, but nobody is served from them" in " ".join(page.split())
    result = confirm(operator, page)

    said = "Invalidated by tag “homepage” in cache “default”."
    assert said in result
    assert logged()[2] == said
    event = stats.invalidations("default")[0]
    assert (event.tags, event.why, event.by) == (("homepage",), "purge", "operator")


def test_a_model_is_purged(operator: Client) -> None:
    confirm(operator, preview(operator, by="model", model="zoo.Author"))

    assert "zoo.author" in stats.invalidations("default")[0].tags
    assert logged()[2] == "Invalidated by model “zoo.Author” in cache “default”."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"by": "key", "what": "never"}, "There is no key of this name"),
        ({"by": "key", "token": "%%%"}, "is not a key"),
        ({"by": "pattern", "what": "red"}, "A pattern has a *"),
        ({"by": "tag", "what": "a b"}, "holds white space"),
        ({"by": "tag", "what": ""}, "Say what to purge."),
        ({"by": "model", "model": ""}, "Say what to purge."),
        ({"by": "flush"}, "Select a valid choice"),
        ({"by": "tag", "what": "x", "alias": "nowhere"}, "Select a valid choice"),
    ],
)
def test_a_form_that_makes_no_sense_purges_nothing(operator: Client, data: dict[str, str], message: str) -> None:
    page = preview(operator, **data)

    assert message in page.replace("&#x27;", "'")
    assert 'name="note"' not in page


def test_a_key_of_somebody_else_is_not_purged(operator: Client) -> None:
    store: Any = store_for("default")
    store.client.set("theirs", "1")
    note = forms.note(Target("default", "key", browser.token_of(b"theirs")), operator.session["_auth_user_id"])

    operator.post(url("purge_confirm"), {"note": note})

    assert store.client.exists("theirs")


def test_a_note_serves_only_whom_it_was_shown_to(login: Login) -> None:
    fill("default", 1)
    page = preview(login("operator"), by="pattern", what="*")

    result = confirm(login("purger"), page)

    assert "too old or not yours" in result
    assert len(everything("default")) == 1
    assert not LogEntry.objects.exists()


def test_a_note_grows_old(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fill("default", 1)
    page = preview(operator, by="pattern", what="*")
    monkeypatch.setattr(forms, "MAX_AGE", -1)

    assert "too old or not yours" in confirm(operator, page)
    assert len(everything("default")) == 1


@pytest.mark.parametrize(
    "note",
    ["", "nonsense", signing.dumps("x", salt=forms.SALT), signing.dumps([], salt=forms.SALT)],
    ids=["nothing", "nonsense", "text", "list"],  # signatures hold the time, and workers must name tests alike
)
def test_a_made_up_note_purges_nothing(operator: Client, note: str) -> None:
    answer = operator.post(url("purge_confirm"), {"note": note}, follow=True)

    assert "Nothing was purged" in answer.content.decode()
    assert not LogEntry.objects.exists()


def test_the_log_is_on_the_page(operator: Client) -> None:
    confirm(operator, preview(operator, by="tag", what="homepage"))

    page = operator.get(url("purge")).content.decode()

    assert "Invalidated by tag “homepage”" in page


def test_a_tag_is_kept_for_a_store_that_is_away(operator: Client, use_cache: Callable[..., None]) -> None:
    use_cache("redis://127.0.0.1:1/0")

    page = preview(operator, by="tag", what="homepage")
    assert "does not answer" in page
    result = confirm(operator, page)

    assert "it will be told when it answers again" in result
    assert [step.tags for step in invalidation.pending("default")] == [("homepage",)]
    assert "it will be told" in logged()[2]


def test_a_pattern_cannot_be_purged_while_the_store_is_away(operator: Client, use_cache: Callable[..., None]) -> None:
    use_cache("redis://127.0.0.1:1/0")

    result = confirm(operator, preview(operator, by="pattern", what="*"))

    assert "Nothing was purged: " in result
    assert not LogEntry.objects.exists()
