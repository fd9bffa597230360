"""What the worker loads, `headway worker worker:app`: Django is set up before anything imports a model."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from jobs import app  # noqa: E402 - after the set-up

__all__ = ["app"]
