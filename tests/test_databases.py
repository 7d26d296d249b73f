"""What CACHEKIT["REPLICAS"] says is read as it is meant, or refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from cachekit import databases


def test_a_replica_stands_for_its_primary(settings: Any) -> None:
    settings.CACHEKIT = {"REPLICAS": {"other": {"of": "default", "lag": 2.5}}}

    assert [databases.primary_of(using) for using in ("default", "other")] == ["default", "default"]
    assert [databases.lag_of(using) for using in ("default", "other")] == [0, 2.5]
    assert databases.written_to() == ["default"]


def test_without_the_setting_each_database_stands_for_itself(settings: Any) -> None:
    settings.CACHEKIT = {}

    assert databases.primary_of("other") == "other"
    assert databases.written_to() == ["default", "other"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"nowhere": {"of": "default", "lag": 1}}, "'nowhere', which is no alias"),
        ({"other": {"of": "nowhere", "lag": 1}}, "'nowhere', which is no alias"),
        ({"other": {"of": "other", "lag": 1}}, "which is a replica itself"),
        ({"other": {"of": "default"}}, "the keys 'of' and 'lag'"),
        ({"other": "default"}, "the keys 'of' and 'lag'"),
        ({"other": {"of": "default", "lag": -1}}, "0 or more, not -1"),
        ({"other": {"of": "default", "lag": True}}, "0 or more, not True"),
    ],
)
def test_what_cannot_be_meant_is_said(settings: Any, given: Any, told: str) -> None:
    settings.CACHEKIT = {"REPLICAS": given}

    with pytest.raises(ImproperlyConfigured, match=told):
        databases.replicas()
