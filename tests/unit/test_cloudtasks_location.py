"""URLs of the carrier cloudtasks: what they say, and which part of a wrong one is named."""

from __future__ import annotations

import pytest

from headway.brokers.cloudtasks.location import Location, parse
from headway.errors import ConfigError


def test_a_plain_url_names_google() -> None:
    location = parse("cloudtasks://my-project/europe-west1", {})
    assert location == Location("my-project", "europe-west1", "", create_queues=False)
    assert location.queue_path("q") == "projects/my-project/locations/europe-west1/queues/q"
    assert location.task_path("q", "t") == "projects/my-project/locations/europe-west1/queues/q/tasks/t"


def test_an_emulator_creates_queues_unless_told_otherwise() -> None:
    assert parse("cloudtasks://p1/here?emulator=127.0.0.1:8123", {}).create_queues
    off = parse("cloudtasks://p1/here?emulator=127.0.0.1:8123&create_queues=0", {})
    assert (off.emulator, off.create_queues) == ("127.0.0.1:8123", False)
    assert parse("cloudtasks://p1/here?create_queues=1", {}).create_queues


@pytest.mark.parametrize("host", ["localhost:8123", "[::1]:8123", "http://emulator:80"])
def test_the_usual_variable_is_honoured(host: str) -> None:
    location = parse("cloudtasks://p1/here", {"CLOUD_TASKS_EMULATOR_HOST": host})
    assert location.emulator == host.removeprefix("http://")
    assert "emulator" in location.name


def test_the_url_wins_over_the_variable() -> None:
    environ = {"CLOUD_TASKS_EMULATOR_HOST": "elsewhere:1"}
    assert parse("cloudtasks://p1/here?emulator=one:2", environ).emulator == "one:2"


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("redis://p1/here", "scheme"),
        ("cloudtasks://", "PROJECT"),
        ("cloudtasks:///here", "PROJECT"),
        ("cloudtasks://-bad/here", "PROJECT"),
        ("cloudtasks://p1", "LOCATION"),
        ("cloudtasks://p1/", "LOCATION"),
        ("cloudtasks://p1/Europe West", "LOCATION"),
        ("cloudtasks://p1/here/queue", "'queue'|got queue"),
        ("cloudtasks://p1/here#x", "#x"),
        ("cloudtasks://user:secret@p1/here", "user or password"),
        ("cloudtasks://p1/here?emulator=", "option emulator"),
        ("cloudtasks://p1/here?emulator=host", "option emulator"),
        ("cloudtasks://p1/here?emulator=host:99999", "option emulator"),
        ("cloudtasks://p1/here?create_queues=maybe", "create_queues"),
        ("cloudtasks://p1/here?unknown=1", "unknown"),
    ],
)
def test_what_is_wrong_is_named(url: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part) as caught:
        parse(url, {})
    assert "secret" not in str(caught.value)


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="CLOUD_TASKS_EMULATOR_HOST"):
        parse("cloudtasks://p1/here", {"CLOUD_TASKS_EMULATOR_HOST": "nowhere"})
