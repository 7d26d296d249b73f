"""Django REST framework: answers of views and parts of serializers that are kept, and never stale."""

from cachekit.exceptions import MissingExtra

try:
    import rest_framework as _  # noqa: F401 - only to say what is missing
except ModuleNotFoundError as error:
    raise MissingExtra.of("api") from error

from cachekit.contrib.drf.mixins import CachedViewSetMixin
from cachekit.contrib.drf.serializers import CachedSerializerMixin
from cachekit.contrib.drf.views import cached_action, cached_response

__all__ = ["CachedSerializerMixin", "CachedViewSetMixin", "cached_action", "cached_response"]
