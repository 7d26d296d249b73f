"""Notice what is asked of a serializer's context while representations are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from cachekit.contrib.drf.watching import Reads, watching


class _Context(dict[str, Any]):
    """The context of a serializer, which notes when it is asked for the view."""

    def __init__(self, context: Mapping[str, Any], reads: Reads) -> None:
        super().__init__(context)
        self.entries = context
        self.reads = reads

    def __getitem__(self, name: str) -> Any:
        self._note(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return one entry."""
        self._note(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:
        self._note("view")
        return super().__iter__()

    def items(self) -> Any:
        """Return all entries, with their names."""
        self._note("view")
        return super().items()

    def values(self) -> Any:
        """Return all entries."""
        self._note("view")
        return super().values()

    def _note(self, name: str) -> None:
        if name == "view":
            self.reads.note("view")


def entries_of(context: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the entries of a context, which may be looked at without being noted."""
    return context.entries if isinstance(context, _Context) else context


@contextmanager
def watched(serializer: Any, request: Any, reads: Reads) -> Iterator[None]:
    """Note what is asked of context and request inside."""
    root = serializer.root
    context = root._context  # noqa: SLF001 - there is no other way to it
    root._context = _Context(entries_of(context), reads)  # noqa: SLF001 - as above
    try:
        with nullcontext() if request is None else watching(request, reads):
            yield
    finally:
        root._context = context  # noqa: SLF001 - as above
        if isinstance(context, _Context):
            context.reads.seen |= reads.seen
