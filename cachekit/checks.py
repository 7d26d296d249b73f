"""System checks: what is wrong with the settings, with what was probably meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_type_hints

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name for it
from django.core.exceptions import ImproperlyConfigured

from cachekit import conf, databases, packers, registry, stores, tenants, triggers
from cachekit.core.policy import ALIAS_NEAR, NEAR
from cachekit.exceptions import ImproperStore, MissingExtra, StoreUnavailable
from cachekit.orm import opting
from cachekit.orm.rows import doubts_of
from cachekit.outbox import health
from cachekit.outbox.relaying import COMMAND
from cachekit.stores.streams import refusal_of

KINDS: dict[Any, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    bool | str: (bool, str),
    int: (int,),
    float: (int, float),
    tuple[str, ...]: (tuple, list),
    bool | tuple[str, ...]: (bool, list, tuple),
    dict[str, Any]: (dict,),
}
DOORS = ("function", "view", "fragment", "query", "row", "graphql", "session")


@register(Tags.caches)
def check_settings(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check the names and types in CACHEKIT."""
    try:
        given = conf.given()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="Write CACHEKIT = {} to take every default.", id="cachekit.E002")]
    hints = get_type_hints(conf.Conf)
    found: list[CheckMessage] = []
    for name, value in given.items():
        if name not in conf.NAMES:
            found.append(_unknown(name))
        elif not isinstance(value, kinds := KINDS[hints[name]]) or (isinstance(value, bool) and bool not in kinds):
            kind = " or ".join(one.__name__ for one in kinds)
            message = f"CACHEKIT[{name!r}] must be of type {kind}, not {type(value).__name__}: {value!r}"
            found.append(Error(message, hint=f"The default is {_default(name)!r}.", id="cachekit.E002"))
        elif isinstance(value, (int, float)) and value < 0:
            message = f"CACHEKIT[{name!r}] must be 0 or more, not {value!r}"
            found.append(Error(message, hint=f"The default is {_default(name)!r}.", id="cachekit.E002"))
        elif name == "NEAR" and value not in NEAR:
            message = f"CACHEKIT['NEAR'] must be True, False or 'hot', not {value!r}"
            found.append(Error(message, hint="The default is False.", id="cachekit.E002"))
        elif isinstance(value, (list, tuple)) and name == "SHADOW":
            found += [_stranger(one) for one in value if one not in (*DOORS, *settings.CACHES)]
    return found


def _stranger(name: Any) -> CheckMessage:
    known = (*DOORS, *settings.CACHES)
    message = f"CACHEKIT['SHADOW'] names {name!r}, which is neither a door nor an alias of CACHES."
    close = get_close_matches(str(name), known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"It may name: {', '.join(known)}."
    return Error(message, hint=hint, id="cachekit.E002")


def _unknown(name: Any) -> CheckMessage:
    close = get_close_matches(str(name).upper(), conf.NAMES, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"CACHEKIT knows: {', '.join(sorted(conf.NAMES))}."
    return Error(f"CACHEKIT has no setting {name!r}.", hint=hint, id="cachekit.E001")


def _in_force() -> conf.Conf:
    """Return the settings, the defaults where they are no dict, of which E002 tells."""
    return conf.conf() if isinstance(getattr(settings, "CACHEKIT", {}), Mapping) else conf.Conf()


def _default(name: str) -> Any:
    return getattr(conf.Conf(), name)


@register(Tags.caches)
def check_alias(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check that the doors have a cache to use."""
    alias = conf.given().get("ALIAS", "default") if isinstance(getattr(settings, "CACHEKIT", {}), dict) else "default"
    try:
        stores.store_for(str(alias))
    except ImproperStore as error:
        return [Error(str(error), hint="See docs/tutorial.md, step 2.", id="cachekit.E003")]
    except (MissingExtra, ImproperlyConfigured) as error:
        return [Error(f"The cache '{alias}' cannot be set up: {error}", hint="Correct CACHES.", id="cachekit.E004")]
    return []


@register(Tags.caches)
def check_codecs(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check that codecs and compressors exist, and that their libraries are installed."""
    found: dict[str, CheckMessage] = {}
    for alias in ("", *stores.aliases()):
        try:
            packers.packing_of(packers.chosen(alias))
        except (ImproperlyConfigured, MissingExtra) as error:
            where = f"CACHES['{alias}']['OPTIONS']" if alias else "CACHEKIT"
            hint = "See docs/how-to/choose-a-codec.md."
            found.setdefault(str(error), Error(f"{where}: {error}", hint=hint, id="cachekit.E009"))
    return list(found.values())


@register(Tags.caches)
def check_tenant(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check that CACHEKIT["TENANT"] names something to call."""
    path = conf.given().get("TENANT", "") if isinstance(getattr(settings, "CACHEKIT", {}), dict) else ""
    try:
        if path and isinstance(path, str):
            tenants.naming(path)
    except ImproperlyConfigured as error:
        hint = "Name a function without arguments that returns the tenant's name as text, such as 'shop.tenants.name'."
        return [Error(str(error), hint=hint, id="cachekit.E006")]
    return []


@register(Tags.caches)
def check_replicas(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check that replicas are declared, and that what is declared can be meant."""
    try:
        declared = databases.replicas()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="See docs/how-to/use-read-replicas.md.", id="cachekit.E008")]
    found: list[CheckMessage] = []
    for using, given in settings.DATABASES.items():
        mirrored = given.get("TEST", {}).get("MIRROR")
        if mirrored and using not in declared:
            message = f"The database '{using}' looks like a replica of '{mirrored}' (TEST: MIRROR) but is not declared."
            hint = f"Set CACHEKIT['REPLICAS'] = {{{using!r}: {{'of': {mirrored!r}, 'lag': 5}}}}, in seconds."
            found.append(Warning(message, hint=hint, id="cachekit.W004"))
    return found


@register(Tags.models)
def check_indexes(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check that CACHEKIT_INDEXES name columns, and CACHEKIT_DEPENDS_ON models."""
    return list(_index_errors())


def _index_errors() -> Iterator[CheckMessage]:
    for model in apps.get_models():
        try:
            registry.indexes_of(model)
        except ImproperlyConfigured as error:
            columns = ", ".join(field.name for field in model._meta.local_concrete_fields)
            yield Error(str(error), hint=f"Columns of {model.__name__}: {columns}.", obj=model, id="cachekit.E005")
        try:
            registry.depends_on(model)
        except ImproperlyConfigured as error:
            hint = "Name models as Django does: ('shop.Order', 'shop.Line')."
            yield Error(str(error), hint=hint, obj=model, id="cachekit.E007")


@register(Tags.models)
def check_rows(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Notice models whose managers keep rows that cannot be kept."""
    found: list[CheckMessage] = []
    for model in apps.get_models():
        if not any(getattr(manager, "keeps_rows", None) is not None for manager in model._meta.managers):
            continue
        for reason in doubts_of(model):
            message = f"Rows of {model._meta.label} are asked from the database each time: {reason}."
            hint = "Leave out rows= of its CachedManager, or see docs/how-to/cache-rows.md."
            found.append(Warning(message, hint=hint, obj=model, id="cachekit.W005"))
    return found


@register(Tags.models)
def check_models(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check that CACHEKIT["MODELS"] names apps and models, and says of them what can be meant."""
    given = conf.given().get("MODELS", {}) if isinstance(getattr(settings, "CACHEKIT", {}), dict) else {}
    if not isinstance(given, Mapping):
        return []  # E002 says so
    models = {model._meta.label_lower: model._meta.label for model in apps.get_models(include_auto_created=True)}
    known = {config.label: config.label for config in apps.get_app_configs()} | models
    found: list[CheckMessage] = []
    for name, said in given.items():
        if str(name).lower() not in known:
            close = get_close_matches(str(name).lower(), known, n=1)
            hint = f"Did you mean {known[close[0]]!r}?" if close else "Name models as Django does: 'shop.Product'."
            found.append(Error(f"CACHEKIT['MODELS'] names {name!r}, which is no model.", hint=hint, id="cachekit.E010"))
        elif fault := opting.fault_of(said):
            hint = "Say {'rows': True, 'queries': 600}: each True, seconds, or options of doors."
            found.append(Error(f"CACHEKIT['MODELS'][{name!r}] {fault}", hint=hint, id="cachekit.E010"))
    return found


@register(Tags.caches)
def check_outbox(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check what CACHEKIT["OUTBOX"] says."""
    value = _in_force().OUTBOX
    if value in ("outages", "always"):
        return []
    message = f"CACHEKIT['OUTBOX'] must be 'outages' or 'always', not {value!r}"
    return [Error(message, hint="The default is 'outages'.", id="cachekit.E002")]


@register(Tags.database)
def check_triggers(
    *, app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Check that whatever is written passes through the outbox, where CACHEKIT["OUTBOX"] says so."""
    return [one for using in databases or () for one in _uncovered(using)] if _in_force().OUTBOX == "always" else []


def _uncovered(using: str) -> Iterator[CheckMessage]:
    try:
        found = triggers.status(using, triggers.models_of(using))
    except triggers.Unsupported as error:
        yield Warning(f"CACHEKIT['OUTBOX'] is 'always', but {error}", hint="Say 'outages'.", id="cachekit.W003")
        return
    if missing := [one.model for one in found if one.state != "installed"]:
        message = f"CACHEKIT['OUTBOX'] is 'always', but these have no triggers in '{using}': {', '.join(missing)}"
        hint = f"Run manage.py cachekit triggers install --database {using}; without, a restored cache may be stale."
        yield Warning(message, hint=hint, id="cachekit.W003")


@register(Tags.caches, deploy=True)
def check_relay(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check that somebody attests, where entries are bounded by that: `check --deploy`, since it asks the caches."""
    bound = _in_force().MAX_STALENESS
    try:
        known = [one for one in health.relays() if one.ago <= health.DEAD or one.kind != COMMAND]
    except StoreUnavailable:
        return []
    if not bound or any(one.kind == COMMAND for one in known):
        return []
    found = "only Celery's beat relays, every ten seconds" if known else "no relay runs"
    message = f"CACHEKIT['MAX_STALENESS'] is {bound:g}, but {found}: older entries are computed anew."
    return [Warning(message, hint="Run manage.py cachekit relay.", id="cachekit.W002")]


@register(Tags.caches, deploy=True)
def check_streams(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check that the ledgers' events can be followed: `check --deploy`, since it asks the caches."""
    found: list[CheckMessage] = []
    for alias in stores.aliases():
        try:
            refusal = refusal_of(stores.store_for(alias))
        except (StoreUnavailable, MissingExtra, ImproperlyConfigured):
            continue
        if refusal:
            message = (
                f"Near values of the cache '{alias}' are asked for each time: its stream cannot be read. {refusal}"
            )
            hint = "Let the user and every proxy on the way pass XREVRANGE and XREAD … BLOCK, or leave out near=."
            found.append(Warning(message, hint=hint, id="cachekit.W006"))
    return found


@register(Tags.caches)
def check_near(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Check what OPTIONS["NEAR"] of the aliases says."""
    found: list[CheckMessage] = []
    for alias in stores.aliases():
        value = settings.CACHES[alias].get("OPTIONS", {}).get("NEAR", False)
        if value not in ALIAS_NEAR:
            message = f"CACHES['{alias}']['OPTIONS']['NEAR'] must be True, False, 'hot' or 'tell', not {value!r}"
            found.append(Error(message, hint="See docs/how-to/keep-values-near.md.", id="cachekit.E011"))
    return found


@register(Tags.caches)
def check_namesake(*, app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Notice the unrelated distribution `cachekit`, which installs a package of the same name."""
    try:
        namesake = version("cachekit")
    except PackageNotFoundError:
        return []
    message = f"The unrelated package 'cachekit' {namesake} is installed; its files and ours share one folder."
    hint = "pip uninstall cachekit, then pip install --force-reinstall django-cachekit."
    return [Warning(message, hint=hint, id="cachekit.W001")]
