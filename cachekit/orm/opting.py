"""Models opted in by `CACHEKIT["MODELS"]`: their managers keep rows and queries as if the class had said so."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db.models import Manager, Model
from django.db.models.fields.related_descriptors import ReverseManyToOneDescriptor

from cachekit.conf import conf
from cachekit.orm import forward
from cachekit.orm.managers import Keeping, caching

KINDS = ("rows", "queries")
_former: WeakKeyDictionary[type[Model], list[Any]] = WeakKeyDictionary()
"""The managers that classes have by themselves, of models that were opted in."""


class Opted(Keeping):
    """A project's own manager, which keeps what it reads; to migrations it is the one that it was."""

    stood_for: ClassVar[type[Any]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.stood_for) and self._constructor_args == other._constructor_args  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return id(self)

    def deconstruct(self) -> Any:
        """Return what migrations write down: the class that it stands for."""
        plain: Any = copy.copy(self)
        plain.__class__ = self.stood_for
        return plain.deconstruct()


def install() -> None:
    """Opt in what the settings say, now and whenever a test changes them."""
    _apply()
    setting_changed.connect(_changed, dispatch_uid="cachekit.models")


def said_of(label: str, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what `MODELS` says of a model: under its own label, else under its app's."""
    by_name = {str(name).lower(): said for name, said in given.items()}
    return by_name.get(label, by_name.get(label.partition(".")[0]))


def fault_of(said: Any) -> str:
    """Return what is wrong with what `MODELS` says of a model, or nothing."""
    if not isinstance(said, Mapping):
        return f"must be a dict such as {{'rows': True, 'queries': 600}}, not {type(said).__name__}"
    if strange := sorted(set(map(str, said)) - set(KINDS)):
        return f"says {strange[0]!r}, which is neither 'rows' nor 'queries'"
    try:
        Keeping().keep(rows=said.get("rows", False), queries=said.get("queries", False))
    except ImproperlyConfigured as error:
        return f"cannot be meant: {error}"
    return ""


def _changed(*, setting: str, **_: object) -> None:
    if setting == "CACHEKIT":
        _apply()


def _apply() -> None:
    given = _given()
    if not given and not _former:
        return
    for model in apps.get_models(include_auto_created=True):
        said = said_of(model._meta.label_lower, given)
        if said is not None and not fault_of(said):
            _opt_in(model, said)
        elif model in _former:
            _leave(model, _former.pop(model))
    forward.kept_rows.cache_clear()
    _forget_relations()


def _given() -> Mapping[str, Any]:
    """Return what the settings say, nothing where they cannot be meant: a check tells."""
    try:
        found: object = conf().MODELS
    except ImproperlyConfigured:
        return {}
    return found if isinstance(found, Mapping) else {}


def _opt_in(model: type[Model], said: Mapping[str, Any]) -> None:
    if model in _former:
        _leave(model, _former[model])
    else:
        _former[model] = list(model._meta.local_managers)
    _leave(model, [_opted(one, said) for one in model._meta.managers])
    forward.kept_rows.cache_clear()
    if said.get("rows", False) is not False:
        forward.install_for(model)


def _opted(manager: Any, said: Mapping[str, Any]) -> Any:
    """Return a copy of a manager that keeps what the setting says."""
    found = copy.copy(manager)
    found.__class__ = opted(manager.__class__)
    found.keep(rows=said.get("rows", False), queries=said.get("queries", False))
    return found


@lru_cache(maxsize=1024)
def opted(kind: type[Any]) -> type[Any]:
    """Return a class of managers that is like another and keeps what it reads."""
    if issubclass(kind, Keeping):
        return kind
    kinds: Any = type(kind)
    queryset = caching(getattr(kind, "_queryset_class", Manager._queryset_class))  # type: ignore[attr-defined]  # noqa: SLF001 - Django's
    named = {"__module__": __name__, "_queryset_class": queryset, "stood_for": kind}
    found: type[Any] = kinds(f"Cached{kind.__name__}", (Opted, kind), named)
    return found


def _leave(model: type[Model], managers: list[Any]) -> None:
    """Give a model these managers, instead of those that it has."""
    model._meta.local_managers = managers
    _forget(model)


def _forget(model: type[Model]) -> None:
    """Have a model and those below it, which hold copies, look at its managers again."""
    model._meta._expire_cache()  # type: ignore[attr-defined]  # noqa: SLF001 - what add_manager() calls
    for child in model.__subclasses__():
        if hasattr(child, "_meta"):
            _forget(child)


def _forget_relations() -> None:
    """Have relations make their managers anew, from those that models have now."""
    for model in apps.get_models(include_auto_created=True):
        for descriptor in vars(model).values():
            if isinstance(descriptor, ReverseManyToOneDescriptor):
                vars(descriptor).pop("related_manager_cls", None)
