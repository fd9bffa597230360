from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest

from headway.cli.enqueue import parse_argument, parse_keywords

if TYPE_CHECKING:
    from tests.unit.cli_shop import Shop


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("-1.5", -1.5),
        ("true", True),
        ("null", None),
        ('"42"', "42"),
        ('[1, {"a": null}]', [1, {"a": None}]),
        ("quarterly", "quarterly"),
        ("user@example.org", "user@example.org"),
        ("two words", "two words"),
        ("nothing", "nothing"),
        ("straße", "straße"),
    ],
)
def test_an_argument_is_json_or_plainly_a_text(text: str, value: object) -> None:
    assert parse_argument(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "[1,",
        "{a: 1}",
        '"open',
        "'a'",
        "01",
        "1_000",
        "1e",
        "True",
        "None",
        "NaN",
        "-Infinity",
        "nan",
        "",
        " ",
        "+5",
        ".5",
    ],
)
def test_what_may_be_meant_as_something_else_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match="is not JSON"):
        parse_argument(text)


@pytest.mark.parametrize("text", ["[1]", "{", '{"a": NaN}', "template"])
def test_keyword_arguments_are_a_json_object(text: str) -> None:
    with pytest.raises(click.UsageError, match="--kwargs"):
        parse_keywords(text)


def test_enqueue_prints_the_id_of_a_job_that_is_there(shop: Shop) -> None:
    job = shop.enqueue("welcome", "42", "--kwargs", '{"template": "pro"}', "--priority", "9")
    shown = shop.json("jobs", "show", job, *shop.target)
    assert (shown["task"], shown["queue"], shown["state"], shown["priority"]) == (
        "welcome",
        "email",
        "ready",
        9,
    )
    assert (shown["args"], shown["kwargs"]) == ([42], {"template": "pro"})


def test_a_delay_an_instant_and_another_queue(shop: Shop) -> None:
    delayed = shop.json("jobs", "show", shop.enqueue("welcome", "1", "--delay", "5m"), *shop.target)
    assert delayed["state"] == "scheduled"
    at = shop.enqueue("welcome", "1", "--at", "2090-01-31T09:00+01:00", "--queue", "bulk")
    shown = shop.json("jobs", "show", at, *shop.target)
    assert (shown["due_at"], shown["queue"]) == ("2090-01-31T08:00:00.000Z", "bulk")


def test_a_second_enqueue_with_the_key_finds_the_first_job(shop: Shop) -> None:
    first = shop.enqueue("welcome", "1", "--key", "k")
    second = shop.run("enqueue", shop.app, "welcome", "1", "--key", "k", "--json")
    assert json.loads(second.stdout) == {"id": first, "duplicate": True}


def test_a_negative_number_stands_behind_two_dashes(shop: Shop) -> None:
    job = shop.enqueue("welcome", "--", "-5")
    assert shop.json("jobs", "show", job, *shop.target)["args"] == [-5]


def test_wait_prints_the_result(shop: Shop) -> None:
    shop.enqueue("welcome", "1", "--key", "k")
    shop.succeed("email", {"sent": ["a"]})
    result = shop.run("enqueue", shop.app, "welcome", "1", "--key", "k", "--wait=5s")
    # The stored result is not the `str` that the task promises: the carrier has the say about its state, the codec about this.
    assert result.exit_code == 1
    assert "does not fit" in result.stderr
    shop.enqueue("report", "q1", "--key", "r")
    shop.succeed("reports")
    assert json.loads(shop.ok("enqueue", shop.app, "report", "q1", "--key", "r", "--wait=5s")) is None


def test_wait_exits_with_1_when_the_job_failed(shop: Shop) -> None:
    shop.enqueue("report", "q1", "--key", "r")
    shop.fail("reports")
    result = shop.run("enqueue", shop.app, "report", "q1", "--key", "r", "--wait", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "failed"
    assert result.stderr.splitlines()[-1].endswith("ValueError: no such user")


def test_wait_exits_with_1_when_the_time_is_over(shop: Shop) -> None:
    result = shop.run("enqueue", shop.app, "report", "q1", "--wait=0")
    assert result.exit_code == 1
    assert "still ready" in result.stderr


def test_wait_says_the_id_at_once_on_stderr(shop: Shop) -> None:
    result = shop.run("enqueue", shop.app, "report", "q1", "--key", "k", "--wait=0")
    first, *_ = result.stderr.splitlines()
    (job,) = shop.json("jobs", "list", *shop.target)["jobs"]
    assert first == f"headway: waiting for job {job['id']}"
    again = shop.run("enqueue", shop.app, "report", "q1", "--key", "k", "--wait=0", "--json")
    assert "it was there before" in again.stderr
    assert job["id"] in again.stderr


def test_a_task_that_is_not_declared_is_exit_code_1(shop: Shop) -> None:
    result = shop.run("enqueue", shop.app, "nosuch")
    assert result.exit_code == 1
    assert "app 'shop' has no task 'nosuch'; declared: report, tidy, welcome" in result.stderr


@pytest.mark.parametrize("words", [[], ["--app"]])
def test_the_app_is_an_argument_an_option_or_a_variable(shop: Shop, words: list[str]) -> None:
    by_option = [*words, shop.app] if words else [shop.app]
    assert shop.json("enqueue", *by_option, "welcome", "1")["id"]
    by_variable = shop.run("enqueue", "welcome", "1", env={"HEADWAY_APP": shop.app})
    assert (by_variable.exit_code, len(by_variable.stdout.strip())) == (0, 20)
    twice = shop.run("enqueue", "--app", shop.app, shop.app, "1")
    assert "has no task" in twice.stderr, "with --app every word is the task's"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "Missing argument 'TASK'"),
        (["welcome", "[" * 100_000], "nested too deeply"),
        (["report", "[" * 900 + "]" * 900], "does not fit"),
        (["welcome", "1", "--kwargs", '{"template":' + "[" * 100_000], "nested too deeply"),
        (["report", "\udcff"], "surrogates not allowed"),
        (["welcome"], "argument 'user_id' is missing"),
        (["welcome", "text"], "argument 'user_id' does not fit"),
        (["welcome", "[1"], "is not JSON"),
        (["welcome", "1", "--priority", "10"], "--priority"),
        (["welcome", "1", "--delay", "soon"], "'soon' is not a duration"),
        (["welcome", "1", "--at", "2090-01-31T09:00"], "has no time zone"),
        (["welcome", "1", "--delay", "1", "--at", "2090-01-31T09:00Z"], "not both"),
        (["welcome", "1", "--queue", "a,b"], "queue name"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(shop: Shop, args: list[str], said: str) -> None:
    result = shop.run("enqueue", shop.app, *args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.startswith("headway: ")
    assert len(result.stderr.splitlines()) == 1
    assert not result.stdout
