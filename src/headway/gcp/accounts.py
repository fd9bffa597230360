"""Service accounts by their e-mail addresses: whose they are, and those that Google makes by itself. Pure."""

from __future__ import annotations

import re
from typing import Final

# `name@shop.iam.gserviceaccount.com`; in a project of a domain, `example.com:shop`, `name@shop.example.com.iam...`.
_OWN: Final = re.compile(r"[^@]+@([^@.]+)(?:\.([^@]+))?\.iam\.gserviceaccount\.com")
_COMPUTE: Final = re.compile(r"([0-9]+)-compute@developer\.gserviceaccount\.com")
_APP_ENGINE: Final = re.compile(r"([^@]+)@appspot\.gserviceaccount\.com")


def account_path(email: str, project: str) -> str:
    """Return the full name of an account. It belongs to the project in its e-mail; to `project` where there is none."""
    return f"projects/{_project_of(email) or project}/serviceAccounts/{email}"


def member(email: str) -> str:
    """Return the account as policies write it."""
    return f"serviceAccount:{email}"


def compute_account(number: str) -> str:
    """Return who a Cloud Run service runs as that names no account."""
    return f"{number}-compute@developer.gserviceaccount.com"


def pubsub_agent(number: str) -> str:
    """Return who moves messages to the dead-letter topic: Pub/Sub's agent in the project with this number."""
    return f"service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com"


def _project_of(email: str) -> str:
    found = _OWN.fullmatch(email)
    if found is not None:
        return f"{found[2]}:{found[1]}" if found[2] else found[1]
    found = _COMPUTE.fullmatch(email) or _APP_ENGINE.fullmatch(email)
    return found[1] if found is not None else ""
