"""`{% cached %}`: fragments are kept by name and by what they vary on, and never what is one visitor's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, Engine, RequestContext, Template, TemplateSyntaxError
from django.test import RequestFactory
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from cachekit import hooks, invalidate
from cachekit.exceptions import CachekitError, InvalidKey, InvalidTag
from tests.zoo.builders import make_book
from tests.zoo.models import Book


@pytest.fixture(autouse=True)
def _one_cache(settings: Any, _isolation: None) -> None:
    from cachekit import testing

    settings.CACHES = {"default": settings.CACHES["default"]}
    testing.reset()


@pytest.fixture
def refused() -> Iterator[list[str]]:
    """Why fragments were not stored."""
    reasons: list[str] = []

    def note(event: hooks.Refused) -> None:
        reasons.append(event.reason)

    hooks.subscribe(hooks.Refused, note)
    yield reasons
    hooks.unsubscribe(hooks.Refused, note)


def render(source: str, *, autoescape: bool = True, **values: Any) -> str:
    """Render a template that has loaded the tag."""
    return Template("{% load cachekit %}" + source).render(Context(values, autoescape=autoescape))


SHOW = '{% cached 60 "name" vary %}{{ shown }}{% endcached %}'


def test_a_fragment_is_kept() -> None:
    assert [render(SHOW, shown=n) for n in (1, 2)] == ["1", "1"]


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (1, True), ("a", "b"), (None, ""), ([1], (1,)), ("a", gettext_lazy("b")), (1, AnonymousUser())],
)
def test_it_varies(one: Any, other: Any) -> None:
    assert [render(SHOW, shown=n, vary=value) for n, value in enumerate((one, other, one))] == ["0", "1", "0"]


def test_key_parts_are_framed() -> None:
    two = '{% cached 60 "name" a b %}{{ shown }}{% endcached %}'

    assert render(two, a="a:b", b="c", shown=1) == "1"
    assert render(two, a="a", b="b:c", shown=2) == "2"
    assert render(SHOW, shown=3) == "3"
    assert render('{% cached 60 "name:" %}{{ shown }}{% endcached %}', shown=4) == "4"


def test_escaping_and_formats_are_part_of_the_key(settings: Any) -> None:
    assert render(SHOW, shown="<b>") == "&lt;b&gt;"
    assert render(SHOW, shown="<b>", autoescape=False) == "<b>"
    assert render("{% autoescape off %}" + SHOW + "{% endautoescape %}", shown="<i>") == "<b>"
    numbers = '{% load l10n %}{% cached 60 "n" %}{{ x }}{% endcached %}'
    assert render("{% load l10n %}{% localize off %}" + numbers + "{% endlocalize %}", x=1) == "1"
    assert render(numbers, x=2) == "2"
    with translation.override("nl"):
        assert render(numbers, x=3) == "3"
    with timezone.override("Asia/Tokyo"):
        assert render(numbers, x=4) == "4"
    assert render(numbers, x=5) == "2"


def test_it_is_safe_text_on_a_hit() -> None:
    around = "{% filter upper %}" + SHOW + "{% endfilter %}{% firstof x %}"

    assert [render(around, shown=mark_safe("<b>")) for _ in range(2)] == ["<B>", "<B>"]


def test_tags_name_and_alias() -> None:
    tagged = '{% cached 60 "tagged" tags="prices homepage" alias="default" %}{{ shown }}{% endcached %}'

    assert [render(tagged, shown=n) for n in (1, 2)] == ["1", "1"]
    invalidate("homepage")
    assert render(tagged, shown=3) == "3"
    invalidate("fragment:tagged")
    assert render(tagged, shown=4) == "4"


def test_loops_and_names_from_variables() -> None:
    loop = "{% for n in numbers %}{% cached 60 name n %}{{ n }}{{ shown }} {% endcached %}{% endfor %}"

    assert render(loop, numbers=[1, 2], name="one", shown="a") == "1a 2a "
    assert render(loop, numbers=[2, 3], name="one", shown="b") == "2a 3b "
    assert render(loop, numbers=[2], name="two", shown="c") == "2c "


def test_what_is_set_inside_stays_inside() -> None:
    inside = '{% cached 60 "x" %}{% firstof "in" as word %}{{ word }}{% endcached %}|{{ word }}'

    assert [render(inside, word="out") for _ in range(2)] == ["in|out", "in|out"]


@pytest.mark.django_db(transaction=True)
def test_reads_are_dependencies_and_the_outer_fragment_has_the_inners(django_assert_num_queries: Any) -> None:
    book = make_book("old")
    nested = (
        '{% cached 60 "outer" %}[{{ shown }} {% cached 60 "inner" %}{% for b in books %}{{ b.title }}{% endfor %}'
        "{% endcached %}]{% endcached %}"
    )

    def show(shown: int) -> str:
        return render(nested, shown=shown, books=Book.objects.filter(pk=book.pk))

    assert show(1) == "[1 old]"
    with django_assert_num_queries(0):
        assert show(2) == "[1 old]"
    Book.objects.update(title="new")
    assert show(3) == "[3 new]"
    invalidate("fragment:inner")
    assert show(4) == "[4 new]"
    invalidate("fragment:outer")
    with django_assert_num_queries(0):
        assert show(5) == "[5 new]"


class Person:
    """A user without a database."""

    is_anonymous = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.pk = name
        self.is_authenticated = True

    def __str__(self) -> str:
        return self.name


PERSONAL = {
    "shown": "{{ user }}",
    "attribute": "{{ user.name }}",
    "condition": '{% if user.name == "alice" %}{{ name }}{% endif %}',
    "filter": "{{ name|default:user.name }}",
    "with": "{% with somebody=user %}{{ somebody }}{% endwith %}",
    "loop": "{% for letter in user.name %}{{ letter }}{% endfor %}",
    "tag": "{% firstof user.name %}",
    "request": "{{ request.user.name }}",
    "permissions": "{{ perms.x }}{{ name }}",
    "messages": "{% for m in messages %}{{ m }}{% endfor %}{{ name }}",
    "nested": '{% cached 60 "inner" user.name %}{{ user }}{% endcached %}',
    "nested and refused": '{% cached 60 "inner" %}{{ user }}{% endcached %}',
    "included": "{% include part %}",
}


@pytest.mark.parametrize("personal", PERSONAL)
def test_what_differs_from_visitor_to_visitor_is_not_shared(personal: str, refused: list[str]) -> None:
    source = '{% cached 60 "hello" %}' + PERSONAL[personal] + "{% endcached %}"

    def show(name: str) -> str:
        request = RequestFactory().get("/")
        request.user = Person(name)  # type: ignore[assignment]
        part = Template("{{ user }}")
        return render(source, user=request.user, request=request, perms={}, messages=[], name=name, part=part)

    assert [show("alice"), show("bob"), show("alice")] == ["alice", "bob", "alice"] or personal == "condition"
    assert show("bob") == ("" if personal == "condition" else "bob")
    assert refused


@pytest.mark.parametrize(
    "source",
    [
        '{% cached 60 "hi" user.name %}{{ user }}{{ perms.x }}{% endcached %}',
        '{% cached 60 "hi" request.user.name %}{{ user }}{% if user.name %}!{% endif %}{% endcached %}',
    ],
)
def test_unless_it_is_named(source: str, refused: list[str]) -> None:
    def show(name: str) -> str:
        request = RequestFactory().get("/")
        request.user = Person(name)  # type: ignore[assignment]
        return render(source, user=request.user, request=request, perms={"x": ""}).rstrip("!")

    assert [show("alice"), show("bob"), show("alice")] == ["alice", "bob", "alice"]
    assert refused == []


def test_a_loop_variable_of_that_name_is_nobodys(refused: list[str]) -> None:
    loop = '{% cached 60 "users" %}{% for user in users %}{{ user }} {% endfor %}{% endcached %}'

    assert [render(loop, users=["a"], user="alice"), render(loop, users=["b"], user="bob")] == ["a ", "a "]
    assert refused == []


def test_naming_the_request_is_not_naming_its_user(refused: list[str], rf: RequestFactory) -> None:
    from django.contrib.auth.middleware import AuthenticationMiddleware
    from django.contrib.sessions.middleware import SessionMiddleware
    from django.http import HttpRequest, HttpResponse

    def show(source: str, name: str) -> str:
        request = rf.get("/here/")
        found: list[str] = []

        def view(request: HttpRequest) -> HttpResponse:
            user: Any = request.user
            user.name = name
            request.session["cart"] = name
            request.session.accessed = False
            request.session.modified = False
            found.append(render(source, request=request))
            return HttpResponse()

        SessionMiddleware(AuthenticationMiddleware(view))(request)
        return found[0]

    by_path = '{% cached 60 "p" request.path %}{{ request.path }}{% endcached %}'
    by_user = '{% cached 60 "u" request.path %}{{ request.user.name }}{% endcached %}'
    by_cart = '{% cached 60 "c" request.path %}{{ request.session.cart }}{% endcached %}'
    assert [show(by_path, name) for name in ("a", "b")] == ["/here/"] * 2
    assert refused == []
    assert [show(by_user, name) for name in ("a", "b")] == ["a", "b"]
    assert [show(by_cart, name) for name in ("a", "b")] == ["a", "b"]
    assert len(refused) == 4


def test_tokens_are_not_shared(refused: list[str], rf: RequestFactory) -> None:
    template = Engine(libraries={"cachekit": "cachekit.templatetags.cachekit"}).from_string(
        '{% load cachekit %}{% cached 60 "form" %}{% csrf_token %}{% endcached %}'
        '{% cached 60 "meta" %}{{ csrf_token }}{% endcached %}{% cached 60 "none" %}x{% endcached %}'
    )

    first, second = (template.render(RequestContext(rf.get("/"))) for _ in range(2))

    assert first != second
    assert refused == ["it holds a CSRF token"] * 4


@pytest.mark.django_db
def test_users_vary_by_key_and_nobody_is_one_too() -> None:
    alice = User.objects.create_user("alice")
    source = '{% cached 60 "nav" user %}{{ user }}{% endcached %}'

    for _ in range(2):
        assert render(source, user=SimpleLazyObject(lambda: alice)) == "alice"
        assert render(source, user=SimpleLazyObject(AnonymousUser)) == "AnonymousUser"


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("{% cached %}{% endcached %}", TemplateSyntaxError, "a timeout and a name"),
        ("{% cached 60 %}{% endcached %}", TemplateSyntaxError, "a timeout and a name"),
        ('{% cached 60 "x" %}', TemplateSyntaxError, "endcached"),
        ('{% cached 60 "x" tagz="a" %}{% endcached %}', TemplateSyntaxError, "no option 'tagz'"),
        ("{% cached 60 sidebar %}{% endcached %}", TemplateSyntaxError, 'In quotes: "sidebar"'),
        ('{% cached "soon" "x" %}{% endcached %}', TemplateSyntaxError, "timeout in seconds"),
        ('{% cached 60 "x" thing %}{% endcached %}', InvalidKey, r"only from text.*thing\.pk %}"),
        ('{% cached 60 "white space" %}{% endcached %}', InvalidTag, "white-space"),
        ('{% cached 60 "x" tags="*" %}{% endcached %}', InvalidTag, "depended on"),
        ('{% cached 60 "x" alias="nowhere" %}{% endcached %}', CachekitError, "nowhere"),
    ],
)
def test_mistakes_say_what_to_do(source: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        render(source, thing=object())


@pytest.mark.parametrize("timeout", ["None", '"60"', "60.5", "time"])
def test_timeouts(timeout: str) -> None:
    source = "{% cached " + timeout + ' "x" %}{{ shown }}{% endcached %}'

    assert [render(source, shown=n, time=30) for n in (1, 2)] == ["1", "1"]


def test_an_error_inside_passes_through_and_nothing_is_kept() -> None:
    def show(thing: Callable[[], str]) -> str:
        return render('{% cached 60 "x" %}{{ thing }}{% endcached %}', thing=thing)

    def fail() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        show(fail)
    assert show(lambda: "fine") == "fine"
