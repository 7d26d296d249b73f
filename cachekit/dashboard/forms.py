"""The form that names what to purge, and the signed note that carries it through the confirmation."""

from __future__ import annotations

from typing import Any

from django import forms
from django.apps import apps
from django.core import signing
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _, gettext_lazy

from cachekit import browser, purging
from cachekit.exceptions import CachekitError
from cachekit.stores import aliases

SALT = "cachekit.purge"
MAX_AGE = 600
"""So many seconds a confirmation page is good for."""


class PurgeForm(forms.Form):
    """Which cache, by what, and what."""

    alias = forms.ChoiceField(label=gettext_lazy("Cache"))
    by = forms.ChoiceField(
        label=gettext_lazy("Purge by"),
        widget=forms.RadioSelect,
        initial="tag",
        choices=[
            ("tag", gettext_lazy("tag")),
            ("model", gettext_lazy("model")),
            ("key", gettext_lazy("key")),
            ("pattern", gettext_lazy("pattern")),
        ],
    )
    what = forms.CharField(
        label=gettext_lazy("Tag, key or pattern"),
        required=False,
        strip=False,
        max_length=2_000,
        help_text=gettext_lazy("Such as shop.product#42, or the exact name of a key, or shop:*"),
    )
    model = forms.ChoiceField(label=gettext_lazy("Model"), required=False)
    token = forms.CharField(required=False, widget=forms.HiddenInput)
    """A key that was chosen on its page: its name may hold what no form can."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(model._meta.label, model._meta.label) for model in apps.get_models()]
        self.fields["alias"].choices = [(alias, alias) for alias in aliases()]  # type: ignore[attr-defined]
        self.fields["model"].choices = [("", "---------"), *sorted(choices)]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Make a target of what was filled in."""
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        field = "model" if cleaned["by"] == "model" else "what"
        try:
            cleaned["target"] = self._target(cleaned["alias"], cleaned["by"], cleaned[field], cleaned["token"])
        except ValidationError as error:
            self.add_error(field, error)
        except CachekitError as error:
            self.add_error(None, str(error))
        return cleaned

    def _target(self, alias: str, by: str, what: str, token: str) -> purging.Target:
        if by == "key" and token:
            browser.raw_of(token)
            return purging.Target(alias, by, token)
        if not what:
            raise ValidationError(_("Say what to purge."))
        return purging.target(alias, by, what)


def note(target: purging.Target, user_id: object) -> str:
    """Sign a target for the user who was shown what it would take."""
    return signing.dumps([str(user_id), *target], salt=SALT)


def read(text: str, user_id: object) -> purging.Target:
    """Return the target of a note. Raises signing.BadSignature for another user's, for an old or a made-up one."""
    user, *target = signing.loads(text, salt=SALT, max_age=MAX_AGE)
    if user != str(user_id):
        raise signing.BadSignature("This confirmation was shown to somebody else.")
    return purging.Target(*target)
