"""What the demo of a roll-out draws: moments from routes and events, and bars of them."""

from __future__ import annotations

from headway.cli.demo_rollout_output import chart
from headway.demo.rolling_curve import MOST, Moment, curve
from headway.events import Event, EventKind
from headway.job import new_job_id

STARTED, SUCCEEDED, RETRY, FAILED = (
    EventKind.STARTED,
    EventKind.SUCCEEDED,
    EventKind.RETRY,
    EventKind.FAILED,
)


def _event(kind: EventKind, at_ms: int) -> Event:
    return Event("1", kind, new_job_id(), at_ms, "files")


def test_a_moment_has_the_weight_at_its_end_and_the_attempts_that_ended_in_it() -> None:
    events = {
        "main": [_event(SUCCEEDED, 10_100), _event(STARTED, 10_200), _event(SUCCEEDED, 12_999)],
        "cloud": [_event(RETRY, 11_000), _event(FAILED, 11_999), _event(SUCCEEDED, 11_500)],
    }
    first, second, third = curve([(9_000, 5), (11_500, 25)], events, 10_000, 12_500)
    assert [one.seconds for one in (first, second, third)] == [1, 2, 3]
    assert [one.percent for one in (first, second, third)] == [5, 25, 25]
    assert (first.error_rate("main"), first.error_rate("cloud")) == (0.0, None)
    assert (second.error_rate("main"), second.error_rate("cloud")) == (None, 2 / 3)
    assert third.ended == {"main": 1, "cloud": 0}


def test_a_long_run_fits_into_a_terminal() -> None:
    events = {"main": [_event(SUCCEEDED, second * 1000) for second in range(100)]}
    moments = curve([], events, 0, 100_000)
    assert len(moments) <= MOST
    assert [one.seconds for one in moments[:2]] == [2, 4]
    assert sum(one.ended["main"] for one in moments) == 100


def test_the_chart_has_bars_for_shares_and_gaps_where_nothing_ended() -> None:
    moments = [
        Moment(1, 5, {"cloud": 0}, {"cloud": 0}),
        Moment(2, 25, {"cloud": 4}, {"cloud": 2}),
        Moment(3, 100, {"cloud": 9}, {"cloud": 0}),
    ]
    assert list(chart(moments, ["cloud"], "#")) == [
        "share of cloud, %",
        " 100 |  #",
        "  75 |  #",
        "  50 |  #",
        "  25 | ##",
        "  >0 |###",
        "   0 +---",
        "",
        "errors on cloud, %",
        " 100 |",
        "  75 |",
        "  50 | #",
        "  25 | #",
        "  >0 | #",
        "   0 + --",
        "      0 seconds",
    ]
