"""What is measured, a module for each kind; none of them needs Django to be set up when it is imported."""

from __future__ import annotations

from benchmarks.families import fragments, functions, pages, rows, values
from benchmarks.families.base import Operation

OPERATIONS = {
    one.name: one
    for one in (*values.OPERATIONS, *rows.OPERATIONS, *functions.OPERATIONS, *pages.OPERATIONS, *fragments.OPERATIONS)
}

__all__ = ["OPERATIONS", "Operation"]
