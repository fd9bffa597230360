"""Settings: where they come from, which source wins, and how a wrong one is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headway import Headway
from headway.config import GivenSettings, Settings, load_settings
from headway.errors import ConfigError
from headway.settingtext import first, parse_duration, several

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "headway.toml"


def load(
    given: dict[str, Any] | None = None, environ: dict[str, str] | None = None, file: Path | None = None
) -> Settings:
    return load_settings(given, environ=environ or {}, file=file)


def test_an_argument_wins_over_a_variable_and_that_over_the_file(toml: Path) -> None:
    toml.write_text('concurrency = 1\nlease = "1m"\nurl = "sqlite:///file.db"\n')
    environ = {"HEADWAY_CONCURRENCY": "2", "HEADWAY_LEASE": "2m"}
    settings = load({"concurrency": 3}, environ, toml)
    assert (settings.concurrency, settings.lease, settings.url) == (3, 120.0, "sqlite:///file.db")
    assert load(None, environ, toml).concurrency == 2
    assert load(None, {}, toml).concurrency == 1


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_an_empty_variable_is_not_set(name: str) -> None:
    assert load(None, {f"HEADWAY_{name.upper()}": "", "HEADWAY_CONFIG": ""}) == load()


def test_what_can_be_replaced_takes_several() -> None:
    assert several("new, old") == ("new", "old")
    assert first(" new,old") == "new"
    assert (several(""), several(" , "), first("")) == ((), (), "")


@pytest.mark.parametrize("text", [",", "s3cret,", ",s3cret", "s3cret,,other", " "])
def test_an_empty_one_among_several_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError, match="HEADWAY_PUSH_SECRET: nothing stands") as raised:
        load(None, {"HEADWAY_PUSH_SECRET": text})
    assert "s3cret" not in str(raised.value)


def test_several_secrets_are_all_hidden() -> None:
    assert "s3cret" not in repr(load({"push_secret": "s3cret,older-s3cret"}))


def test_none_as_an_argument_counts_as_not_given() -> None:
    assert load({"url": None}, {"HEADWAY_URL": "sqlite:///env.db"}).url == "sqlite:///env.db"


def test_without_anything_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load() == Settings()


def test_the_file_in_the_working_directory_is_read_and_the_named_one_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "headway.toml").write_text("concurrency = 4")
    (tmp_path / "other.toml").write_text("concurrency = 5")
    assert load().concurrency == 4
    assert load(None, {"HEADWAY_CONFIG": "other.toml"}).concurrency == 5


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match=r"missing\.toml: there is no such file"):
        load(None, {"HEADWAY_CONFIG": missing})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "concurency = 3",
            r"headway\.toml: concurency: there is no such setting, did you mean concurrency\?",
        ),
        ("zzz = 3", r"headway\.toml: zzz: there is no such setting$"),
        ('lease = "soon"', r"headway\.toml: lease: 'soon' is not a duration; write seconds or 500ms"),
        ("lease = true", "lease: True is not a duration"),
        ("lease = 0.1", r"headway\.toml: lease: must be at least 0\.5 and finite, got 0\.1"),
        ("lease = nan", "lease: "),
        ("lease = inf", "lease: "),
        ("concurrency = 0", "concurrency: must be at least 1 and finite, got 0"),
        ('concurrency = "many"', "concurrency: Expected `int`"),
        ('format = "pickle"', "format: Invalid enum value 'pickle'"),
        ("queues = 3", "queues: Expected `array`"),
        ("[queue_concurrency]\nemail = 0", r"queue_concurrency\.email: must be at least 1, got 0"),
        ("queue_weights = 3", "queue_weights: Expected `object`"),
        ("concurrency = ", r"headway\.toml: "),
    ],
)
def test_a_wrong_file_names_the_setting(toml: Path, text: str, told: str) -> None:
    toml.write_text(text)
    with pytest.raises(ConfigError, match=told):
        load(None, {}, toml)


def test_a_file_that_is_no_text_is_named(toml: Path) -> None:
    toml.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"headway\.toml: cannot be read"):
        load(None, {}, toml)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"HEADWAY_LEASE": "soon"}, "HEADWAY_LEASE: 'soon' is not a duration"),
        ({"HEADWAY_CONCURRENCY": "x"}, "HEADWAY_CONCURRENCY: "),
        ({"HEADWAY_QUEUE_WEIGHTS": "a"}, "HEADWAY_QUEUE_WEIGHTS: 'a' must be queue=number"),
        ({"HEADWAY_QUEUE_WEIGHTS": "a=x"}, "HEADWAY_QUEUE_WEIGHTS: 'a=x' must be"),
        ({"HEADWAY_QUEUE_WEIGHTS": "a=²"}, "HEADWAY_QUEUE_WEIGHTS: 'a=²' must be"),
        ({"HEADWAY_QUEUE_WEIGHTS": "a=0"}, r"HEADWAY_QUEUE_WEIGHTS\.a: must be at least 1"),
    ],
)
def test_a_wrong_variable_is_named(environ: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load(None, environ)


def test_variables_hold_lists_tables_flags_and_numbers() -> None:
    settings = load(
        None,
        {
            "HEADWAY_QUEUES": "email, reports,",
            "HEADWAY_QUEUE_CONCURRENCY": "email=5, reports=1",
            "HEADWAY_RECORD_EVENTS": "true",
            "HEADWAY_MAX_JOBS": "100",
            "HEADWAY_GRACE": "1.5",
        },
    )
    assert settings.queues == ["email", "reports"]
    assert settings.queue_concurrency == {"email": 5, "reports": 1}
    assert settings.record_events
    assert settings.max_jobs == 100
    assert settings.grace == 1.5


def test_variables_of_others_are_left_alone() -> None:
    environ = {"HEADWAY_SOMETHING_ELSE": "x", "HEADWAY_APP": "a:b", "HEADWAYS": "y", "LEASE": "z"}
    assert load(None, environ) == Settings()


def test_a_wrong_argument_is_named() -> None:
    with pytest.raises(ConfigError, match=r"argument: leese: there is no such setting, did you mean lease\?"):
        Headway("t", leese=3)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="argument: lease: must be at least"):
        Headway("t", lease=0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15", 15),
        ("1.5", 1.5),
        ("500ms", 0.5),
        ("15s", 15),
        ("2m", 120),
        ("24h", 86_400),
        ("7d", 604_800),
        (" 3 s ", 3),
        (4, 4),
        (0.25, 0.25),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text, "lease") == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "1 w", "1h30m", "1e3", "٣", None, True, [], "nan", "inf"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ConfigError, match="lease: "):
        parse_duration(text, "lease")


def test_a_password_in_the_url_is_not_shown_by_the_app() -> None:
    assert "secret" not in repr(Headway("t", url="redis://user:secret@127.0.0.1/0"))


def test_the_arguments_of_an_app_are_the_settings() -> None:
    assert set(GivenSettings.__annotations__) == set(Settings.__struct_fields__)
