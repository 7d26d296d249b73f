"""`cached_query` and `.cached()`: keep the results of querysets."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeVar, Unpack, cast

import django
from django.core.exceptions import EmptyResultSet, FieldError
from django.db.models import Model, Prefetch, QuerySet

from cachekit import engine
from cachekit.core import keys
from cachekit.core.policy import Spec
from cachekit.databases import primary_of
from cachekit.exceptions import InvalidKey
from cachekit.orm.bare import is_bare
from cachekit.orm.results import AS_THEY_ARE, Form, form_of, unfit
from cachekit.orm.rows import Rows, rows_of
from cachekit.orm.shapes import shape_of
from cachekit.orm.told import MOST_KNOWN, ToldQuerySet
from cachekit.packers import packer
from cachekit.specs import CodecOf, Door, Options

M = TypeVar("M", bound=Model)
RELEASE = ".".join(map(str, django.VERSION[:3]))
"""Part of every key: pickled instances of another Django release warn when they are read."""


def cached_query(queryset: QuerySet[M, Any], *args: float | None, **options: Unpack[Options]) -> list[Any]:
    """Return a queryset's results as a list, from the cache while nothing they depend on has been written.

    Instances, dicts (`values()`) and tuples (`values_list()`) alike, prefetched relations included. A queryset with
    `select_for_update()` always asks the database. `timeout` in seconds, None for no limit.
    """
    if args:
        (options["timeout"],) = args
    return _results(queryset, options)


def begin(queryset: Any, options: Options) -> None:
    """Have a queryset that was just made answer from the cache, and tell from now on by what calls others are made."""
    queryset._cachekit_options = options
    queryset._cachekit_told = "" if is_bare(queryset) else None


def _results(queryset: Any, options: Options) -> list[Any]:
    """Return the rows of a queryset as a list that is its reader's own."""
    using, told = queryset.db, getattr(queryset, "_cachekit_told", None)
    called = None if told is None or "codec" in options else (queryset.model, told, primary_of(using))
    form, text = _known_rows.get(called, (AS_THEY_ARE, ""))
    if text and queryset.model not in unfit:
        spec: Spec | None = _door(queryset, options, form.codec_of).spec(text)
    else:
        shape = None if queryset.query.select_for_update else shape_of(queryset)
        form = AS_THEY_ARE if shape is None or "codec" in options else form_of(queryset)
        text = _text_of(queryset, using, form.name, shape)
        spec = _door(queryset, options, form.codec_of).spec(text) if text else None
        if called is not None and shape is not None:
            _remember(_known_rows, called, (form, text))
            queryset._cachekit_told = told  # nobody but us has seen the query, and we left it alone
    if spec is None:
        found = list(cast("Any", _plain(queryset)))
    else:
        found = form.given(engine.get_or_set(spec, lambda: form.read(_plain(queryset))), queryset, using)
    if queryset._known_related_objects:
        _relate(queryset, found)
    return found


class CachedQuerySet(ToldQuerySet[M]):
    """A queryset with `.cached()`: what is derived from it answers from the cache."""

    _cachekit_options: Options | None = None
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
        if rows is not None and field_name in rows.names:
            found = rows.in_bulk(id_list, *_routed(self))
            if found is not None:
                return found
        return super().in_bulk(id_list, field_name=field_name)

    async def ain_bulk(self, id_list: Any = None, *, field_name: str = "pk") -> dict[Any, M]:
        """Like `in_bulk`."""
        rows = self._kept_rows()
        if rows is not None and field_name in rows.names:
            found = await rows.ain_bulk(id_list, *_routed(self))
            if found is not None:
                return found
        return await super().ain_bulk(id_list, field_name=field_name)

    def _kept_rows(self) -> Rows | None:
        """Return how rows are kept, where this asks for all of them and nothing beside."""
        if self._cachekit_rows is None or self._cachekit_options is not None or not is_bare(self):
            return None
        return rows_of(self.model, self._cachekit_rows)

    def _row_asked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Rows | None, Any]:
        rows = self._kept_rows()
        value = None if rows is None else rows.asked(args, kwargs)
        return (None if value is None else rows), value

    def count(self) -> int:
        """Return the number of rows."""
        if self._result_cache is not None or self._cachekit_options is None:
            return super().count()
        return cast("int", self._answer("count", super().count))

    def exists(self) -> bool:
        """Tell whether there are any rows."""
        if self._result_cache is not None or self._cachekit_options is None:
            return super().exists()
        return cast("bool", self._answer("exists", super().exists))

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the aggregates."""
        if self._cachekit_options is None:
            return super().aggregate(*args, **kwargs)
        try:
            what = _aggregates(self, {one.default_alias: one for one in args} | kwargs)
        except (FieldError, EmptyResultSet):  # one is made of another, or there is nothing to look through
            return super().aggregate(*args, **kwargs)
        return cast(
            "dict[str, Any]",
            self._answer(what, lambda: super(CachedQuerySet, self).aggregate(*args, **kwargs)),
        )

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the rows that the database has now."""
        return super(CachedQuerySet, _plain(self)).delete()

    def get_or_create(self, *args: Any, **kwargs: Any) -> tuple[M, bool]:
        """Get what the database has now, or create it."""
        return super(CachedQuerySet, _plain(self)).get_or_create(*args, **kwargs)

    def _answer(self, what: str, produce: Any) -> Any:
        using, told = self.db, self._cachekit_told
        called = None if told is None else (self.model, told, primary_of(using), what)
        text = _known_answers.get(called, "")
        if not text:
            shape = shape_of(self)
            text = _text_of(self, using, what, shape)
            if called is not None and shape is not None and text:
                _remember(_known_answers, called, text)
                self._cachekit_told = told  # nobody but us has seen the query, and we left it alone
        if not text:
            return produce()
        return engine.get_or_set(_door(self, self._cachekit_options or {}).spec(text), produce)


def _routed(queryset: Any) -> tuple[str | None, dict[str, Any]]:
    """Return the database that a queryset names, and what it tells routers."""
    return queryset._db, queryset._hints  # noqa: SLF001 - a queryset's own


def _door(queryset: Any, options: Options, codec_of: CodecOf = packer) -> Door:
    label = queryset.model._meta.label_lower
    try:
        return _known_door(label, tuple(options.items()), codec_of)
    except TypeError:  # an option is something that does not hash: Door says what is wrong with it
        return Door("query", label, options, codec_of)


@lru_cache(maxsize=1024)
def _known_door(label: str, options: tuple[tuple[str, Any], ...], codec_of: CodecOf) -> Door:
    return Door("query", label, dict(options), codec_of)


_known_rows: dict[Any, tuple[Form, str]] = {}
_known_answers: dict[Any, str] = {}
"""What makes the keys of querysets that were made by the same calls before, whose shape is known."""


def _remember(known: dict[Any, Any], called: Any, found: Any) -> None:
    if len(known) >= MOST_KNOWN:
        known.clear()
    known[called] = found


def _text_of(queryset: Any, using: str, what: str, shape: tuple[Any, ...] | None) -> str:
    """Return what tells results from all others in their key; nothing for what is not to be cached, or makes no key."""
    if queryset.query.select_for_update:
        return ""
    if shape is not None:
        told = repr((RELEASE, what, primary_of(using), shape)).encode("utf-8", "surrogatepass")
        return blake2b(told, digest_size=16).hexdigest()
    try:
        return keys.fingerprint(RELEASE, what, *_identity(queryset))
    except (EmptyResultSet, InvalidKey):
        return ""


def _identity(queryset: Any) -> Iterable[Any]:
    """Yield all that tells one queryset's results from another's."""
    sql, params = queryset.query.get_compiler(queryset.db).as_sql()
    iterable = queryset._iterable_class
    yield from (primary_of(queryset.db), queryset.model._meta.label_lower, sql, iterable.__qualname__, queryset._fields)
    yield tuple(map(_parameter, params))
    # the same SQL is read into another type where an expression says so
    yield [(name, type(one.output_field).__qualname__) for name, one in queryset.query.annotation_select.items()]
    for lookup in queryset._prefetch_related_lookups:
        if not isinstance(lookup, Prefetch):
            yield lookup
            continue
        yield (lookup.prefetch_through, lookup.prefetch_to)
        if lookup.queryset is not None:
            yield tuple(_identity(lookup.queryset))


def _aggregates(queryset: Any, named: dict[str, Any]) -> str:
    """Return a text that tells these aggregates from all others: their SQL, with the joins that they need."""
    query = queryset.query.chain()
    compiler = query.get_compiler(queryset.db)
    compiler.setup_query()
    found = []
    for name, expression in named.items():
        resolved = expression.resolve_expression(query, allow_joins=True, reuse=None, summarize=True)
        sql, params = compiler.compile(resolved)
        found.append((name, sql, tuple(map(_parameter, params)), type(resolved.output_field).__qualname__))
    joins, params = compiler.get_from_clause()
    return keys.fingerprint("aggregate", found, joins, tuple(map(_parameter, params)))


def _parameter(value: Any) -> Any:
    """Return a query's parameter as something that makes a key; adapters of database drivers wrap plain values."""
    inner = getattr(value, "obj", value)
    return inner if inner is value else (type(value).__name__, repr(inner))


def _plain(queryset: Any) -> CachedQuerySet[Any]:
    """Return a copy that asks the database, each time."""
    plain = queryset._chain()
    plain._cachekit_options = None
    plain._known_related_objects = {}
    return cast("CachedQuerySet[Any]", plain)


def _relate(queryset: Any, found: list[Any]) -> None:
    """Point rows back to the objects through which they were asked for, as Django does for rows it fetched."""
    for field, known in queryset._known_related_objects.items():
        for one in found:
            if isinstance(one, Model) and not field.is_cached(one):
                related = known.get(getattr(one, field.attname, None))
                if related is not None:
                    setattr(one, field.name, related)
