"""The app's entry in ``INSTALLED_APPS``."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """The shop."""

    name = "shop"
