"""What is asked of a field: its sub-fields with their arguments, variables and conditions resolved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import get_named_type, is_leaf_type, value_from_ast_untyped


def selection_of(info: Any) -> tuple[Any, ...]:
    """Return the sub-fields of what `info` resolves, in no order; nothing for a leaf, which has none."""
    if is_leaf_type(get_named_type(info.return_type)):
        return ()
    found = [one for node in info.field_nodes for one in _selected(node.selection_set, info)]
    return tuple(sorted(found, key=repr))


def _selected(selections: Any, info: Any) -> Iterator[Any]:
    for node in selections.selections if selections is not None else ():
        directives = [_described(one, info) for one in node.directives or ()]
        if ("skip", (("if", True),)) in directives or ("include", (("if", False),)) in directives:
            continue
        told = [one for one in directives if one[0] not in ("skip", "include")]
        if node.kind == "field":
            alias = node.alias.value if node.alias else ""
            yield (alias, *_described(node, info), told, _all(node, info))
            continue
        named = info.fragments[node.name.value] if node.kind == "fragment_spread" else node
        on = named.type_condition.name.value if named.type_condition else ""
        yield ("...", on, told, _all(named, info))


def _all(node: Any, info: Any) -> tuple[Any, ...]:
    return tuple(sorted(_selected(node.selection_set, info), key=repr))


def _described(node: Any, info: Any) -> tuple[str, tuple[Any, ...]]:
    """Return the name and the arguments of a field or of a directive."""
    values = [(one.name.value, value_from_ast_untyped(one.value, info.variable_values)) for one in node.arguments or ()]
    return node.name.value, tuple(sorted(values, key=lambda one: one[0]))
