"""The demo's addresses: the shop, the admin with cachekit's dashboard, and metrics."""

from __future__ import annotations

from functools import partial

from django.contrib import admin
from django.contrib.staticfiles.storage import staticfiles_storage
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import include, path
from django.views import defaults


def favicon(request: HttpRequest) -> HttpResponseRedirect:
    """Lead browsers that ask for /favicon.ico to the drawing."""
    return HttpResponseRedirect(staticfiles_storage.url("shop/favicon.svg"))


handler404 = partial(defaults.page_not_found, template_name="shop/not_found.html")
handler500 = partial(defaults.server_error, template_name="shop/broken.html")

urlpatterns = [
    path("favicon.ico", favicon),
    path("admin/", admin.site.urls),
    path("", include("django_prometheus.urls")),
    path("", include("demo_site.shop.urls")),
]
