"""A carrier cannot leave the settings unnoticed: the first worker that starts without it says so, and the doctor counts."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headway import Headway
from headway.app.roster import note_carriers
from headway.cli.doctor.carriers import CarrierFacts, Left, check_carriers
from headway.cli.doctor.finding import Level
from headway.errors import CodecError
from headway.routing.changing import control_of
from headway.routing.roster import CARRIERS, Gone, Roster, keep_roster, read_roster, updated

if TYPE_CHECKING:
    from tests.unit.cli_shop import Shop


def test_what_leaves_is_kept_until_it_is_back() -> None:
    first = updated(Roster(), {"main": "a", "side": "b"}, 1)
    assert first == Roster({"main": "a", "side": "b"})
    without = updated(first, {"main": "a"}, 2)
    assert without == Roster({"main": "a"}, {"side": Gone("b", 2)})
    assert updated(without, {"main": "a"}, 3) == without
    assert updated(without, {"main": "a", "side": "b"}, 4) == first
    assert updated(first, {"main": "a", "renamed": "b"}, 5) == Roster({"main": "a", "renamed": "b"})
    many = Roster({}, {f"n{at}": Gone(f"u{at}", at) for at in range(20)})
    assert next(iter(updated(many, {}, 1).gone)) == "n19"
    assert len(updated(many, {}, 1).gone) == 16


def app_with(folder: Path, *names: str) -> Headway:
    return Headway("shop", carriers={name: f"sqlite:///{folder}/{name}.db" for name in names})


async def test_a_worker_says_once_which_carrier_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "headway.routes")
    for names, said in [
        (("main", "side"), 0),
        (("main",), 1),
        (("main",), 0),
        (("main", "side"), 0),
        (("main",), 1),
    ]:
        caplog.clear()
        async with app_with(tmp_path, *names) as app:
            await note_carriers(app)
        line = (
            "carriers: side is not among the settings any more; jobs that wait there are found by nobody, "
            "`headway doctor` says how many"
        )
        assert [one.message for one in caplog.records] == said * [line]


async def test_an_app_that_always_had_one_carrier_keeps_nothing(tmp_path: Path) -> None:
    async with app_with(tmp_path, "main") as app:
        await note_carriers(app)
        assert await control_of(app.carriers).read_control(CARRIERS) is None


async def test_of_two_workers_one_keeps_it_and_the_url_has_no_secret(tmp_path: Path) -> None:
    async with app_with(tmp_path, "main") as app:
        control = control_of(app.carriers)
        await keep_roster(control, {"main": "a", "side": "b"}, 1)
        assert await keep_roster(control, {"main": "a"}, 2) == ["side"]
        assert await keep_roster(control, {"main": "a"}, 3) == []
        assert (await read_roster(control))[1] == 2


async def test_a_list_of_a_later_headway_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with app_with(tmp_path, "main", "side") as app:
        control = control_of(app.carriers)
        for body in (b'{"format": 7}', b"[]"):
            found = await control.read_control(CARRIERS)
            await control.write_control(CARRIERS, body, expected=0 if found is None else found.version)
            with pytest.raises(CodecError):
                await read_roster(control)
            await note_carriers(app)
            assert "cannot be told" in caplog.text


@pytest.mark.parametrize(
    ("seen", "level", "said"),
    [
        ({"carriers": ("main", "side")}, Level.OK, "main, side"),
        ({"unknown": {"side": ["email", "reports"]}}, Level.ERROR, "the routes of email, reports name side"),
        ({"left": (Left("side", "sqlite:///s.db", 3),)}, Level.ERROR, "3 jobs would be stranded on side"),
        ({"left": (Left("side", "sqlite:///s.db", 0),)}, Level.OK, "main"),
        ({"left": (Left("side", "redis://***@h", None),)}, Level.WARN, "cannot be told from here"),
        ({"former": {"side": ["email"]}}, Level.WARN, "jobs of email went to side before"),
        ({"former": {"side": ["email"]}, "left": (Left("side", "u", 0),)}, Level.OK, "main"),
        ({"trouble": "damaged"}, Level.WARN, "damaged"),
    ],
)
def test_the_doctor_judges(seen: dict[str, Any], level: Level, said: str) -> None:
    found = check_carriers(CarrierFacts(**seen))
    assert (found.level, said in found.message, bool(found.advice)) == (level, True, level is not Level.OK)


def test_the_doctor_counts_what_would_be_stranded(shop: Shop) -> None:
    settings = 'namespace = "shop"\n[carriers]\nmain = "sqlite:///main.db"\n'
    Path("headway.toml").write_text(f'{settings}side = "sqlite:///side.db"\n[routes]\nemail = "side"\n')
    shop.enqueue("welcome", "1")
    shop.ok("routes", "set", "reports", "side", "--app", shop.app)
    before = {one["check"]: one for one in shop.json("doctor")["findings"]}["carriers"]
    assert (before["level"], before["message"]) == ("ok", "main, side")

    async def start(**given: Any) -> None:
        async with Headway("shop", **given) as app:
            await note_carriers(app)

    asyncio.run(start())
    Path("headway.toml").write_text(settings)
    asyncio.run(start())
    result = shop.run("doctor")
    assert result.exit_code == 1
    assert "the routes of reports name side, which the settings do not have" in result.stdout
    assert "1 jobs would be stranded on side (sqlite:///side.db)" in result.stdout
