"""Foreign keys to models whose rows are kept: `book.author` asks the cache of rows (decisions.md: why a descriptor)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.apps import apps
from django.db.models import ForeignObject, Model
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor, ForwardOneToOneDescriptor
from django.db.models.manager import Manager

from cachekit.orm.bare import FETCH_ONE
from cachekit.orm.managers import CachedManager, Keeping
from cachekit.orm.rows import Rows, rows_of


class KeptForeignKey(ForwardManyToOneDescriptor):  # type: ignore[type-arg]
    """Like Django's, but what is not cached on the instance yet is answered from the cache of rows."""

    def get_object(self, instance: Any) -> Any:
        """Return the related object."""
        found = _kept(self.field, instance)
        return super().get_object(instance) if found is None else found


class KeptOneToOne(ForwardOneToOneDescriptor):  # type: ignore[type-arg]
    """Like Django's, but what is not cached on the instance yet is answered from the cache of rows."""

    def get_object(self, instance: Any) -> Any:
        """Return the related object."""
        found = _kept(self.field, instance)
        return super().get_object(instance) if found is None else found


_OURS: dict[type, type] = {ForwardManyToOneDescriptor: KeptForeignKey, ForwardOneToOneDescriptor: KeptOneToOne}
_FILTERS = ("get_reverse_related_filter", "get_extra_descriptor_filter")
"""Where a kind of foreign key may say which rows it means, beside the key."""


def install() -> None:
    """Put descriptors of our own to the foreign keys of all models whose rows are kept."""
    for model in apps.get_models(include_auto_created=True):
        if kept_rows(model) is not None:
            install_for(model)


def install_for(model: type[Model]) -> None:
    """Put descriptors of our own to the foreign keys of one model; a project's own descriptors stay."""
    for relation in model._meta.get_fields(include_hidden=True):
        field: Any = getattr(relation, "field", None) if relation.auto_created else None
        if field is None or field.remote_field.model is not model or getattr(field.remote_field, "parent_link", False):
            continue
        present = vars(field.model).get(field.name)
        ours = _OURS.get(type(present))
        if ours is not None and field.target_field is model._meta.pk and _asks_for_the_key_alone(type(field)):
            replaced = ours(field)
            replaced.__dict__.update(vars(present))  # its exception class may be in somebody's hands
            setattr(field.model, field.name, replaced)


def _asks_for_the_key_alone(kind: type[Any]) -> bool:
    return all(getattr(kind, name) is getattr(ForeignObject, name) for name in _FILTERS)


@lru_cache(maxsize=1024)
def kept_rows(model: type[Model]) -> Rows | None:
    """Return how rows of a model are kept, by the first of its managers that says so."""
    manager: Any
    for manager in model._meta.managers:
        if isinstance(manager, Keeping) and manager.keeps_rows is not None:
            return rows_of(model, manager.keeps_rows)
    return None


def _kept(field: Any, instance: Any) -> Any:
    """Return the related object from the cache of rows; None where Django's way may lead elsewhere."""
    state = instance._state
    model = field.remote_field.model
    rows = kept_rows(model)
    if rows is None or type(model._base_manager) not in (Manager, CachedManager):
        return None
    if getattr(state, "fetch_mode", FETCH_ONE) is not FETCH_ONE:
        return None
    return rows.get(getattr(instance, field.attname), None, {"instance": instance})
