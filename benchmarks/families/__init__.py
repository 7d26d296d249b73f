"""What is measured, a module for each kind; nothing here imports Django before it is set up."""

from __future__ import annotations

from benchmarks.families import fragments, pages, rows, values
from benchmarks.families.base import Operation

OPERATIONS = {one.name: one for one in (*values.OPERATIONS, *rows.OPERATIONS, *pages.OPERATIONS, *fragments.OPERATIONS)}

__all__ = ["OPERATIONS", "Operation"]
