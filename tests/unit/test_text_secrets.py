"""Secrets do not reach the texts that people see."""

from __future__ import annotations

import pytest

from headway import Headway
from headway.app.opening import broker_settings
from headway.config import Settings
from headway.text import redact

HUSH = "hush-7c1"
SECRETS = {
    "url": f"redis://user:{HUSH}@host/0",
    "guard": f"postgresql://user:{HUSH}@host/db",
    "cache": f"https://host?token={HUSH}",
    "offload": f"s3://key:{HUSH}@bucket/folder",
    "target": f"https://user:{HUSH}@run.example/",
    "targets": {"mail": f"https://user:{HUSH}@mail.example/"},
    "push_secret": HUSH,
}


def texts_of(value: object) -> list[str]:
    rich = getattr(value, "__rich_repr__", None)
    return [repr(value), str(value), f"{value}", repr([value]), repr(list(rich()) if rich else "")]


def test_the_settings_of_an_app_show_no_secret() -> None:
    settings = Headway("shop", **SECRETS).settings  # type: ignore[arg-type]
    assert settings.push_secret == HUSH
    for text in texts_of(settings):
        assert HUSH not in text
    assert "push_secret='***'" in repr(settings)
    assert "guard='postgresql://user:***@host/db'" in repr(settings)
    assert "timeout=600.0" in repr(settings)
    assert "push_secret=''" in repr(Settings())


def test_what_a_driver_is_opened_with_shows_none_either() -> None:
    settings = broker_settings("shop", Headway("shop", **SECRETS).settings)  # type: ignore[arg-type]
    assert settings.options.push_secret == HUSH
    assert settings.options.guard == SECRETS["guard"]
    for value in (settings, settings.options):
        for text in texts_of(value):
            assert HUSH not in text


@pytest.mark.parametrize("text", ["", "plain", "sqlite:///headway.db", "https://host/path?x=1"])
def test_what_holds_no_secret_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
