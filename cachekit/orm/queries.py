"""`cached_query` and `.cached()`: keep the results of querysets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple, TypeVar, Unpack, cast

from asgiref.sync import sync_to_async
from django.core.exceptions import EmptyResultSet, FieldError
from django.db.models import Model, QuerySet
from django.db.models.query import RawQuerySet

from cachekit import engine
from cachekit.core.capture import reading_primaries
from cachekit.core.policy import Spec
from cachekit.databases import primary_of
from cachekit.orm.bare import is_bare
from cachekit.orm.given import Asks, asking
from cachekit.orm.querykeys import aggregates, door_of, is_local, text_of
from cachekit.orm.raws import cached_raw, raw_results
from cachekit.orm.results import AS_THEY_ARE, Form, form_of, related, unfit
from cachekit.orm.rows import Rows, rows_of
from cachekit.orm.shapes import shape_of
from cachekit.orm.told import MOST_KNOWN, ToldQuerySet
from cachekit.packers import packer
from cachekit.specs import Options

M = TypeVar("M", bound=Model)


def cached_query(queryset: Asks[M], *args: float | None, **options: Unpack[Options]) -> list[Any]:
    """Return a queryset's results as a list, from the cache while nothing they depend on has been written.

    Instances, dicts (`values()`) and tuples (`values_list()`) alike, prefetched relations included; raw querysets too.
    A queryset with `select_for_update()` always asks the database; a manager or a model stands for all its rows.
    `timeout` in seconds, None for no limit. Raises TypeError for what asks nothing of the database.
    """
    if args:
        (options["timeout"],) = args
    if not isinstance(queryset, QuerySet):
        queryset = asking(queryset)
    return raw_results(queryset, options) if isinstance(queryset, RawQuerySet) else _results(queryset, options)


async def acached_query(queryset: Asks[M], *args: float | None, **options: Unpack[Options]) -> list[Any]:
    """Like `cached_query`."""
    if args:
        (options["timeout"],) = args
    if not isinstance(queryset, QuerySet):
        queryset = asking(queryset)
    if isinstance(queryset, RawQuerySet):
        return await sync_to_async(raw_results)(queryset, options)
    return await _aresults(queryset, options)


class ByDefault(dict[str, Any]):
    """Options that a manager gives all its querysets: what is asked of the cache of rows goes there first."""


def begin(queryset: Any, options: Any) -> None:
    """Have a queryset that was just made answer from the cache, and tell from now on by what calls others are made."""
    queryset._cachekit_options = options
    queryset._cachekit_told = "" if is_bare(queryset) else None


class Asked(NamedTuple):
    """What a queryset asks of the cache."""

    form: Form
    spec: Spec | None
    """None for what always asks the database."""


def _results(queryset: Any, options: Options) -> list[Any]:
    """Return the rows of a queryset as a list that is its reader's own."""
    using = queryset.db
    form, spec = _asked(queryset, using, options) or _compiled(queryset, using, options)
    if spec is None:
        return related(queryset, list(cast("Any", _plain(queryset))))
    found = engine.get_or_set(spec, lambda: form.read(_plain(queryset)))
    return related(queryset, form.given(found, queryset, using))


async def _aresults(queryset: Any, options: Options) -> list[Any]:
    """Like `_results`; only what must be compiled, or ask the database, goes to a thread."""
    using = queryset.db
    asked = _asked(queryset, using, options)
    if asked is None or asked.spec is None:
        return await sync_to_async(_results)(queryset, options)
    form = asked.form
    produce = sync_to_async(lambda: form.read(_plain(queryset)))
    return related(queryset, form.given(await engine.aget_or_set(asked.spec, produce), queryset, using))


def _asked(queryset: Any, using: str, options: Options) -> Asked | None:
    """Return what a queryset asks for, by the calls that made it or by its structure; None where only SQL tells."""
    told = getattr(queryset, "_cachekit_told", None)
    called = None if told is None or "codec" in options else (queryset.model, told, primary_of(using))
    form, text = _known_rows.get(called, (AS_THEY_ARE, ""))
    if not text or queryset.model in unfit:
        shape = None if queryset.query.select_for_update else shape_of(queryset)
        if shape is None:
            return None
        form = AS_THEY_ARE if "codec" in options else form_of(queryset)
        local = is_local(queryset)
        text = text_of(queryset, using, form.name, shape, local=local)
        if called is not None and not local:
            _remember(_known_rows, called, (form, text))
            queryset._cachekit_told = told  # nobody but us has seen the query, and we left it alone
    return Asked(form, door_of(queryset.model, options, form.codec_of).spec(text))


def _compiled(queryset: Any, using: str, options: Options) -> Asked:
    """Return what a queryset asks for, by its SQL."""
    text = text_of(queryset, using, AS_THEY_ARE.name, None, local=is_local(queryset))
    return Asked(AS_THEY_ARE, door_of(queryset.model, options, packer).spec(text) if text else None)


class CachedQuerySet(ToldQuerySet[M]):
    """A queryset with `.cached()`: what is derived from it answers from the cache."""

    _cachekit_options: Any = None
    _cachekit_rows: tuple[tuple[str, Any], ...] | None = None
    """How rows of the model are kept one by one, where its manager says so."""

    def cached(self, *args: float | None, **options: Unpack[Options]) -> CachedQuerySet[M]:
        """Return a copy that answers from the cache: rows, `get`, `first`, `count`, `exists`, `aggregate`."""
        if args:
            (options["timeout"],) = args
        clone = cast("Any", self)._chain()
        begin(clone, options)
        return cast("CachedQuerySet[M]", clone)

    def _clone(self) -> CachedQuerySet[M]:
        clone = super()._clone()  # type: ignore[misc]
        clone._cachekit_options = self._cachekit_options
        clone._cachekit_rows = self._cachekit_rows
        return cast("CachedQuerySet[M]", clone)

    def _fetch_all(self) -> None:
        if self._result_cache is None and self._cachekit_options is not None:
            self._result_cache = _results(self, self._cachekit_options)
            self._prefetch_done = True
        super()._fetch_all()

    def get(self, *args: Any, **kwargs: Any) -> M:
        """Return the one row: from the cache of rows where its primary key is all that is asked for."""
        rows, value = self._row_asked(args, kwargs)
        found = None if rows is None else rows.get(value, *_routed(self))
        return super().get(*args, **kwargs) if found is None else found

    async def aget(self, *args: Any, **kwargs: Any) -> M:
        """Like `get`."""
        rows, value = self._row_asked(args, kwargs)
        found = None if rows is None else await rows.aget(value, *_routed(self))
        return await super().aget(*args, **kwargs) if found is None else found

    def in_bulk(self, id_list: Any = None, *, field_name: str = "pk") -> dict[Any, M]:
        """Return rows by key: from the cache of rows where their primary keys are all that is asked for."""
        rows = self._kept_rows()
        rows = rows if rows is not None and field_name in rows.names else None
        found = rows.in_bulk(id_list, *_routed(self)) if rows is not None else None
        if found is not None:
            return found
        with reading_primaries(only=rows is not None):
            return super().in_bulk(id_list, field_name=field_name)

    async def ain_bulk(self, id_list: Any = None, *, field_name: str = "pk") -> dict[Any, M]:
        """Like `in_bulk`."""
        rows = self._kept_rows()
        rows = rows if rows is not None and field_name in rows.names else None
        found = await rows.ain_bulk(id_list, *_routed(self)) if rows is not None else None
        if found is not None:
            return found
        with reading_primaries(only=rows is not None):
            return await super().ain_bulk(id_list, field_name=field_name)

    def _kept_rows(self) -> Rows | None:
        """Return how rows are kept, where this asks for all of them and nothing beside."""
        if self._cachekit_rows is None or not is_bare(self):
            return None
        if self._cachekit_options is not None and type(self._cachekit_options) is not ByDefault:
            return None
        return rows_of(self.model, self._cachekit_rows)

    def _row_asked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Rows | None, Any]:
        rows = self._kept_rows()
        value = None if rows is None else rows.asked(args, kwargs)
        return (None if value is None else rows), value

    def __aiter__(self) -> AsyncIterator[Any]:
        """Like Django's; a hit needs no thread."""
        if self._result_cache is not None or self._cachekit_options is None:
            return super().__aiter__()
        return self._answered()

    async def _answered(self) -> AsyncIterator[Any]:
        self._result_cache = await _aresults(self, self._cachekit_options)
        self._prefetch_done = True
        for one in self._result_cache:
            yield one

    def count(self) -> int:
        """Return the number of rows."""
        if self._result_cache is not None or self._cachekit_options is None:
            return super().count()
        return cast("int", self._answer("count", super().count))

    async def acount(self) -> int:
        """Like `count`."""
        return cast("int", await self._aanswer("count", self.count))

    def exists(self) -> bool:
        """Tell whether there are any rows."""
        if self._result_cache is not None or self._cachekit_options is None:
            return super().exists()
        return cast("bool", self._answer("exists", super().exists))

    async def aexists(self) -> bool:
        """Like `exists`."""
        return cast("bool", await self._aanswer("exists", self.exists))

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the aggregates."""
        if self._cachekit_options is None:
            return super().aggregate(*args, **kwargs)
        try:
            what = aggregates(self, {one.default_alias: one for one in args} | kwargs)
        except (FieldError, EmptyResultSet):  # one is made of another, or there is nothing to look through
            return super().aggregate(*args, **kwargs)
        return cast(
            "dict[str, Any]",
            self._answer(what, lambda: super(CachedQuerySet, self).aggregate(*args, **kwargs)),
        )

    def raw(self, *args: Any, **kwargs: Any) -> Any:
        """Return what raw SQL reads, from the cache too; what may write always asks the database."""
        return cached_raw(super().raw(*args, **kwargs), self._cachekit_options)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the rows that the database has now."""
        return super(CachedQuerySet, _plain(self)).delete()

    def get_or_create(self, *args: Any, **kwargs: Any) -> tuple[M, bool]:
        """Get what the database has now, or create it."""
        return super(CachedQuerySet, _plain(self)).get_or_create(*args, **kwargs)

    def _answer(self, what: str, produce: Any) -> Any:
        text = self._text_of(what) or text_of(self, self.db, what, None, local=is_local(self))
        if not text:
            return produce()
        return engine.get_or_set(door_of(self.model, self._cachekit_options).spec(text), produce)

    async def _aanswer(self, what: str, ask: Any) -> Any:
        """Return the answer without a thread if it is kept and needs no SQL to be found, else what `ask` answers."""
        text = "" if self._result_cache is not None or self._cachekit_options is None else self._text_of(what)
        if not text:
            return await sync_to_async(ask)()
        plain = getattr(_plain(self), what)
        return await engine.aget_or_set(door_of(self.model, self._cachekit_options).spec(text), sync_to_async(plain))

    def _text_of(self, what: str) -> str:
        """Return what makes the key of an answer, by the calls or the structure; nothing where only SQL tells."""
        using, told = self.db, self._cachekit_told
        called = None if told is None else (self.model, told, primary_of(using), what)
        text = _known_answers.get(called, "")
        if not text and (shape := shape_of(self)) is not None:
            local = is_local(self)
            text = text_of(self, using, what, shape, local=local)
            if called is not None and text and not local:
                _remember(_known_answers, called, text)
                self._cachekit_told = told  # nobody but us has seen the query, and we left it alone
        return text


def _routed(queryset: Any) -> tuple[str | None, dict[str, Any]]:
    """Return the database that a queryset names, and what it tells routers."""
    return queryset._db, queryset._hints  # noqa: SLF001 - a queryset's own


_known_rows: dict[Any, tuple[Form, str]] = {}
_known_answers: dict[Any, str] = {}
"""What makes the keys of querysets that were made by the same calls before, whose shape is known."""


def _remember(known: dict[Any, Any], called: Any, found: Any) -> None:
    if len(known) >= MOST_KNOWN:
        known.clear()
    known[called] = found


def _plain(queryset: Any) -> CachedQuerySet[Any]:
    """Return a copy that asks the database, each time."""
    plain = queryset._chain()
    plain._cachekit_options = None
    plain._known_related_objects = {}
    return cast("CachedQuerySet[Any]", plain)
