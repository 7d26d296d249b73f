"""What managers say of rows is refused where it cannot be meant."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from cachekit import CachedManager


@pytest.mark.parametrize(
    "rows", ["soon", -1, {"timeout": "x"}, {"tiemout": 3}, [], {"tags": ("a",)}, {"codec": "json"}]
)
def test_rows_that_cannot_be_meant_are_refused_where_they_are_written(rows: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"CachedManager\(rows="):
        CachedManager(rows=rows)


@pytest.mark.parametrize("queries", ["soon", -1, {"tiemout": 3}, {"tags": "a"}])
def test_queries_that_cannot_be_meant_are_refused_where_they_are_written(queries: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"CachedManager\(queries="):
        CachedManager(queries=queries)


def test_an_option_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"no option 'tiemout' here \(did you mean 'timeout'\?\); there are"):
        CachedManager(rows={"tiemout": 3})  # type: ignore[arg-type]


def test_a_manager_that_is_told_by_a_misspelt_name_or_by_none_says_which_there_are() -> None:
    anything: Any = CachedManager

    with pytest.raises(TypeError, match=r"no option 'querys'\. Did you mean 'queries'\?"):
        anything(querys=3)
    with pytest.raises(TypeError, match=r"CachedManager\(rows=60\).*CachedManager\(queries=60\)"):
        anything(60)
