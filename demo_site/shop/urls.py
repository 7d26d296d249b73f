"""The shop's addresses."""

from __future__ import annotations

from django.urls import include, path

from demo_site.shop import api, views

app_name = "shop"

urlpatterns = [
    path("", views.home, name="home"),
    path("diamonds/", views.listing, name="all"),
    path("diamonds/<slug:slug>/", views.listing, name="category"),
    path("diamond/<int:pk>/", views.product, name="product"),
    path("diamond/<int:pk>/order/", views.order, name="order"),
    path("diamond/<int:pk>/ordered/", views.ordered, name="ordered"),
    path("sales/", views.sales, name="sales"),
    path("api/", include(api.router.urls)),
    path("api/schema/", api.Schema.as_view(), name="schema"),
    path("healthz/", views.health, name="health"),
]
