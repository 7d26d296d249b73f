"""Notice what is asked of a request while an answer is computed, so that nothing is kept that its key does not tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from django.http import QueryDict
from rest_framework.request import Request
from rest_framework.settings import api_settings

from cachekit.contrib.drf.freezing import REMEMBERED, opened

RIGHTS = frozenset(
    {"is_authenticated", "is_anonymous", "is_active", "is_staff", "is_superuser", "has_module_perms"}
    | {"has_perm", "has_perms", "get_all_permissions", "get_user_permissions", "get_group_permissions"}
)
"""What may be asked of a user on behalf of whom everybody with the same permissions is answered."""
_FREE = frozenset({"host", "content-type", "content-length"})


class Reads:
    """What was asked of a request: `user`, `auth`, `query`, `cookie`, `data`, and the names of headers."""

    def __init__(self, permits: Iterable[str] = (), *, rights: bool = False) -> None:
        self.seen: set[str] = set()
        self.permits = frozenset(permits)
        """What may be asked, since the key tells it."""
        self.allowed = RIGHTS if rights else frozenset[str]()
        """What of the user may be asked without being noted."""

    def note(self, name: str) -> None:
        """Note that something was asked for."""
        self.seen.add(name)

    @property
    def undeclared(self) -> list[str]:
        """Return what was asked for though no key tells it."""
        return sorted(self.seen - self.permits)


class Visitor:
    """A user of whom everything may be asked; what is asked is noted."""

    __slots__ = ("_reads", "_user")

    def __init__(self, user: Any, reads: Reads) -> None:
        object.__setattr__(self, "_user", user)
        object.__setattr__(self, "_reads", reads)

    def __getattribute__(self, name: str) -> Any:
        user, reads = object.__getattribute__(self, "_user"), object.__getattribute__(self, "_reads")
        if name not in reads.allowed and name != "__class__":
            reads.note("user")
        found = getattr(user, name)
        return _of_no_object(found, reads) if name in ("has_perm", "has_perms") else found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_real(self), name, value)

    def __eq__(self, other: object) -> bool:
        return bool(_real(self) == (_real(other) if type(other) is Visitor else other))

    def __hash__(self) -> int:
        return hash(_real(self))

    def __str__(self) -> str:
        return str(_real(self))

    def __repr__(self) -> str:
        return repr(_real(self))


def _real(visitor: Any) -> Any:
    """Return the user themselves, for somebody who asks for more than their rights."""
    object.__getattribute__(visitor, "_reads").note("user")
    return object.__getattribute__(visitor, "_user")


def _of_no_object(ask: Any, reads: Reads) -> Any:
    """Return `has_perm`, which notes when it is asked about one object: that may differ among equals."""

    def asked(permission: Any, obj: Any = None) -> Any:
        if obj is not None:
            reads.note("user")
        return ask(permission) if obj is None else ask(permission, obj)

    return asked


class _Meta(MutableMapping[str, Any]):
    """What came with a request; which headers are looked at is noted."""

    def __init__(self, meta: dict[str, Any], reads: Reads) -> None:
        self._meta = meta
        self._reads = reads

    def __getitem__(self, name: str) -> Any:
        if name.startswith("HTTP_"):
            _note_header(self._reads, name.removeprefix("HTTP_").replace("_", "-"))
        elif name in ("REMOTE_ADDR", "REMOTE_HOST", "REMOTE_USER"):
            self._reads.note(name.lower())
        return self._meta[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._meta[name] = value

    def __delitem__(self, name: str) -> None:
        del self._meta[name]

    def __iter__(self) -> Iterator[str]:
        self._reads.note("every header")
        return iter(self._meta)

    def __len__(self) -> int:
        return len(self._meta)


class _Headers(_Meta):
    """The headers of a request; which are looked at is noted."""

    def __getitem__(self, name: str) -> Any:
        _note_header(self._reads, name)
        return self._meta[name]


def _note_header(reads: Reads, name: str) -> None:
    name = name.replace("_", "-").lower()
    if name == "cookie" or name not in _FREE:
        reads.note(name)


class _Query(Mapping[str, Any]):
    """A query string; which parameters are looked at is noted, but for the one that every link repeats."""

    def __init__(self, query: QueryDict, reads: Reads) -> None:
        self._query = query
        self._reads = reads

    def __getitem__(self, name: str) -> Any:
        if name != api_settings.URL_FORMAT_OVERRIDE:
            self._reads.note("query")
        return self._query[name]

    def __iter__(self) -> Iterator[str]:
        self._reads.note("query")
        return iter(self._query)

    def __len__(self) -> int:
        return len(self._query)

    def __getattr__(self, name: str) -> Any:
        self._reads.note("query")
        return getattr(self._query, name)


class _Watched:
    """What a request's class is replaced by while an answer is computed."""

    _cachekit_reads: Reads
    _request: Any

    @property
    def user(self) -> Any:
        """Return the user, who notes what is asked of them."""
        reads, found = self._cachekit_reads, super().user  # type: ignore[misc]
        if found is None or "user" in reads.permits:
            reads.note("user")
            return found
        return Visitor(found, reads)

    @user.setter
    def user(self, value: Any) -> None:
        Request.user.fset(self, value)  # type: ignore[attr-defined]

    @property
    def auth(self) -> Any:
        """Return what the user showed, such as a token."""
        self._cachekit_reads.note("auth")
        return super().auth  # type: ignore[misc]

    @property
    def successful_authenticator(self) -> Any:
        """Return who recognised the user."""
        self._cachekit_reads.note("auth")
        return super().successful_authenticator  # type: ignore[misc]

    @property
    def query_params(self) -> Any:
        """Return the query string, parsed."""
        reads, given = self._cachekit_reads, self._request.GET
        if "query" not in reads.permits:
            return _Query(given, reads)
        reads.note("query")
        return given

    GET = query_params

    @property
    def data(self) -> Any:
        """Return the body, parsed."""
        self._cachekit_reads.note("data")
        return super().data  # type: ignore[misc]

    @property
    def headers(self) -> Any:
        """Return the headers."""
        return _Headers(self._request.headers, self._cachekit_reads)

    @property
    def META(self) -> Any:  # noqa: N802 - Django's name
        """Return all that came with the request."""
        return _Meta(self._request.META, self._cachekit_reads)

    @property
    def COOKIES(self) -> Any:  # noqa: N802 - Django's name
        """Return the cookies."""
        self._cachekit_reads.note("cookie")
        return self._request.COOKIES


@lru_cache(maxsize=64)
def _watched(kind: Any) -> type:
    return type(kind.__name__, (_Watched, kind), {"__module__": kind.__module__})


@contextmanager
def watching(request: Any, reads: Reads) -> Iterator[Reads]:
    """Note into `reads` what is asked of a request inside, also of the user on Django's own request."""
    kind: Any = type(request)
    below = request._request  # noqa: SLF001 - there is no other way to it
    if issubclass(kind, _Watched):  # somebody around watches already
        outer = request._cachekit_reads  # noqa: SLF001 - ours
        request._cachekit_reads = reads  # noqa: SLF001 - ours
        try:
            yield reads
        finally:
            request._cachekit_reads = outer  # noqa: SLF001 - ours
            outer.seen |= reads.seen
        return
    user = None if "user" in reads.permits else below.__dict__.get("user")
    request._cachekit_reads = reads  # noqa: SLF001 - ours
    request.__class__ = _watched(kind)
    watched = None if user is None else Visitor(user, reads)
    if watched is not None:
        below.user = watched
    try:
        yield reads
    finally:
        request.__class__ = kind
        del request._cachekit_reads  # noqa: SLF001 - ours
        if watched is not None and below.__dict__.get("user") is watched:
            below.user = user


def user_of(request: Any, *, rights: bool = False) -> Any:
    """Return who asks; for a key that tells who it is, or only what they may do. Whoever watches hears of it."""
    reads: Reads | None = vars(request).get("_cachekit_reads")
    if reads is None:
        return request.user
    if not (rights and reads.allowed):
        reads.note("user")
    return Request.user.fget(request)  # type: ignore[attr-defined]


def forget_rights(user: Any) -> None:
    """Have a user's permissions looked up again, where that is noted: what they were a moment ago was not."""
    held: dict[str, Any] = getattr(opened(user), "__dict__", {})
    for name in REMEMBERED & held.keys():
        del held[name]
