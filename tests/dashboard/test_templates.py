from __future__ import annotations

import re
from pathlib import Path

import pytest

import cachekit

HOME = Path(cachekit.__file__).parent
TEMPLATES = sorted((HOME / "templates").rglob("*.html"))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_under_a_strict_policy(path: Path) -> None:
    source = path.read_text()

    assert not re.search(r"\sstyle=|<style|\son\w+=|<script|javascript:", source)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_table_says_what_it_is(path: Path) -> None:
    source = path.read_text()

    assert source.count("<table") == source.count("<caption")
    assert all('scope="' in cell for cell in re.findall(r"<th[ >][^>]*", source))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_sentence_can_be_translated(path: Path) -> None:
    source = re.sub(
        r"{% blocktranslate.*?{% endblocktranslate %}|{% block bodyclass.*?{% endblock bodyclass %}|<pre.*?</pre>",
        "",
        path.read_text(),
        flags=re.DOTALL,
    )
    plain = re.sub(r"<[^>]*>|{%.*?%}|{{.*?}}|&\w+;", " ", source, flags=re.DOTALL)

    assert not re.search(r"[A-Za-z]{2,}", plain)


def test_the_style_sheet_takes_its_colours_from_the_admin() -> None:
    source = (HOME / "static" / "cachekit" / "dashboard.css").read_text()
    rules = source[source.index(".ck .module") :]

    assert not re.search(r"#[0-9a-f]{3,6}\b|rgb|hsl", rules)
    assert "@import" not in source
    assert len(source) < 15_000
