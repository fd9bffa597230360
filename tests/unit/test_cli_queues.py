from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.cli_shop import Shop


def _states(shop: Shop, queue: str) -> dict[str, int]:
    found = {item["queue"]: item for item in shop.json("queues", "list", *shop.target)["queues"]}
    return {state: count for state, count in found[queue]["counts"].items() if count}


def test_list_counts_by_state_and_shows_the_apps_empty_queues(shop: Shop) -> None:
    shop.enqueue("welcome", "1")
    shop.enqueue("welcome", "1", "--delay", "1h")
    listed = shop.json("queues", "list", *shop.target)["queues"]
    assert [item["queue"] for item in listed] == ["default", "email", "reports"]
    assert _states(shop, "email") == {"ready": 1, "scheduled": 1}
    assert "email" in shop.ok("queues", "list", *shop.target)


def test_a_paused_queue_hands_out_nothing_until_it_is_resumed(shop: Shop) -> None:
    shop.enqueue("welcome", "1")
    assert shop.json("queues", "pause", "email", "reports", *shop.target) == {"paused": ["email", "reports"]}
    assert shop.succeed("email") == []
    assert shop.ok("queues", "resume", "email", *shop.target) == "email resumed\n"
    assert len(shop.succeed("email")) == 1


def test_a_queue_that_nobody_knows_is_exit_code_1_and_the_others_are_done(shop: Shop) -> None:
    for act in (["pause"], ["resume"], ["clean", "--yes"]):
        result = shop.run("queues", *act, "email", "nosuch", *shop.target)
        assert (result.exit_code, "no queue 'nosuch'" in result.stderr) == (1, True)
        assert result.stdout.split()[0] in {"email", "0"}
    drained = shop.run("queues", "drain", "nosuch", "--yes", *shop.target)
    assert (drained.exit_code, drained.stdout) == (1, "0 removed\n")


def test_a_queue_can_be_paused_before_its_first_job_where_that_is_meant(shop: Shop) -> None:
    assert shop.json("queues", "pause", "new", "--force", *shop.target) == {"paused": ["new"]}
    assert shop.ok("queues", "resume", "new", *shop.target) == "new resumed\n"


def test_drain_asks_and_removes_only_what_waits(shop: Shop) -> None:
    shop.enqueue("welcome", "1")
    shop.succeed("email")
    shop.enqueue("welcome", "2")
    shop.enqueue("welcome", "3", "--delay", "1h")
    for answer in ("n\n", ""):
        refused = shop.run("queues", "drain", "email", *shop.target, answer=answer)
        assert refused.exit_code == 1
        assert "nothing was changed" in refused.stderr
    assert _states(shop, "email") == {"ready": 1, "scheduled": 1, "succeeded": 1}
    assert shop.ok("queues", "drain", "email", *shop.target, answer="y\n").splitlines()[-1] == "2 removed"
    assert _states(shop, "email") == {"succeeded": 1}


def test_clean_removes_completed_jobs_of_a_state(shop: Shop) -> None:
    shop.enqueue("welcome", "1")
    shop.succeed("email")
    shop.enqueue("report", "q1")
    shop.fail("reports")
    assert shop.json("queues", "clean", "--yes", *shop.target) == {
        "removed": 0
    }  # younger than the default 24 h
    assert shop.run("queues", "clean", *shop.target, answer="n\n").exit_code == 1
    assert shop.json("queues", "clean", "reports", "--older-than", "0", "--yes", *shop.target) == {
        "removed": 0
    }
    cleaned = shop.json("queues", "clean", "--state", "failed", "--older-than", "0", "--yes", *shop.target)
    assert cleaned == {"removed": 1}
    assert _states(shop, "email") == {"succeeded": 1}


def test_clean_refuses_a_state_that_is_not_terminal(shop: Shop) -> None:
    result = shop.run("queues", "clean", "--state", "ready", "--yes", *shop.target)
    assert (result.exit_code, "'ready' is not one of" in result.stderr) == (2, True)
