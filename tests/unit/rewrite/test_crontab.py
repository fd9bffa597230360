from __future__ import annotations

import ast
import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.migrate.rewrite.constants import NotConstantError, constant
from headway.migrate.rewrite.crontab import NoCrontabError, crontab
from headway.schedules.schedule import Cron


def _crontab(call: str) -> str:
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call)
    return crontab({one.arg: one.value for one in node.keywords if one.arg}, ast.unparse)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("cron()", '"* * * * *"'),
        ("cron(hour=3, minute=0)", '"0 3 * * *"'),
        ("cron(second=None)", '"* * * * * *"'),
        ("cron(minute={0, 15, 30, 45})", '"*/15 * * * *"'),
        ("cron(minute=set(range(0, 60, 5)), second=30)", '"30 */5 * * * *"'),
        ("cron(minute=[i * 20 for i in range(3)])", '"*/20 * * * *"'),
        ("cron(weekday='Mon', hour=8, minute=30)", '"30 8 * * mon"'),
        ("cron(weekday={0, 6}, hour=8, minute=30)", '"30 8 * * mon,sun"'),
        ("cron(day=1, month={1, 7}, hour=0, minute=0)", '"0 0 1 1,7 *"'),
        ("cron(hour=HOUR, minute=settings.MINUTE)", 'f"{settings.MINUTE} {HOUR} * * *"'),
    ],
)
def test_schedules(call: str, expected: str) -> None:
    assert _crontab(call) == expected


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("cron(day=1, weekday='mon')", "both match"),
        ("cron(hour=now().hour)", "known only when the code runs"),
        ("cron(hour=24)", "no such values"),
        ("cron(weekday='monday')", "no such values"),
        ("cron(minute=range(10 ** 9))", "known only when the code runs"),
        ("cron(minute={})", "known only when the code runs"),
    ],
)
def test_what_has_no_expression_says_why(call: str, reason: str) -> None:
    with pytest.raises(NoCrontabError, match=reason):
        _crontab(call)


@given(
    minute=st.none() | st.sets(st.integers(0, 59), min_size=1),
    hour=st.none() | st.sets(st.integers(0, 23), min_size=1),
    weekday=st.none() | st.sets(st.integers(0, 6), min_size=1),
    month=st.none() | st.sets(st.integers(1, 12), min_size=1),
    at=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - made aware below
)
def test_it_fires_when_arq_would(
    minute: set[int] | None,
    hour: set[int] | None,
    weekday: set[int] | None,
    month: set[int] | None,
    at: datetime,
) -> None:
    written = _crontab(f"cron(minute={minute}, hour={hour}, weekday={weekday}, month={month})")
    at = at.replace(second=0, microsecond=0, tzinfo=UTC)
    fields = ((minute, at.minute), (hour, at.hour), (weekday, at.weekday()), (month, at.month))
    expected = all(wanted is None or is_ in wanted for wanted, is_ in fields)
    assert Cron(ast.literal_eval(written)).matches(at) == expected
    assert not Cron(ast.literal_eval(written)).matches(at + timedelta(seconds=1))


@given(st.text(max_size=60))
def test_constants_of_any_text_end(text: str) -> None:
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return
    with contextlib.suppress(NotConstantError):
        constant(node)
