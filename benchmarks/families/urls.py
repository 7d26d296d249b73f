"""The page, cached by the library that this process measures, and as it is."""

from __future__ import annotations

from django.urls import path

from benchmarks.families.pages import view
from benchmarks.peers import this

urlpatterns = [path("page/", this().page(view))]
