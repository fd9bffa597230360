"""Routes of the settings that a deploy changes: a version in the history, and keys of before hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headway import Headway
from headway.app.roster import note_carriers
from headway.routing import following
from headway.routing.changing import control_of, routes_history

if TYPE_CHECKING:
    from pathlib import Path


def _app(folder: Path, routes: Any, names: tuple[str, ...] = ("east", "west")) -> tuple[Headway, Any]:
    carriers = {name: f"sqlite:///{folder / name}.db" for name in names}
    app = Headway("deployed", carriers=carriers, routes=routes)

    @app.task(name="send", queue="mail")
    async def send(number: int) -> None: ...

    return app, send


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a change of routes count at once, and be noticed at the next job."""
    monkeypatch.setattr(following, "SETTLING", 0.0)
    monkeypatch.setattr("headway.routing.changing.SETTLING", 0.0)
    monkeypatch.setattr(following, "_OLDEST", 0.0)


async def test_a_deploy_is_a_version_and_a_key_of_before_holds(tmp_path: Path) -> None:
    app, send = _app(tmp_path, {"mail": "east"})
    async with app:
        await note_carriers(app)  # as each worker and receiver does
        first = await send.options(key="k").enqueue(1)
        assert await routes_history(control_of(app.carriers)) == []
    app, send = _app(tmp_path, {"mail": {"west": 100, "shadow": "east=5"}})
    async with app:
        for _ in range(3):  # three workers of one deploy
            await note_carriers(app)
        [version] = await routes_history(control_of(app.carriers))
        assert version.who.startswith("settings@")
        assert "the settings were changed" in version.why
        assert "mail: east 100 -> 0 %; west 0 -> 100 %" in version.why
        again = await send.options(key="k").enqueue(1)
        assert (again.id, again.duplicate) == (first.id, True)
        other = await send.enqueue(2)
        assert (await app.carriers["west"].get([other.id]))[0] is not None


async def test_another_first_carrier_is_told_and_its_keys_hold(tmp_path: Path) -> None:
    app, send = _app(tmp_path, {})
    async with app:
        await note_carriers(app)
        first = await send.options(key="k").enqueue(1)
        control = control_of(app.carriers)
        kept = [await control.read_control(name) for name in ("deployed-routes", "carriers")]
    app, send = _app(tmp_path, {}, ("west", "east"))
    async with app:
        control = control_of(app.carriers)  # the documents are in the first carrier: moved along, as one does
        for name, document in zip(("deployed-routes", "carriers"), kept, strict=True):
            assert document is not None
            await control.write_control(name, document.body, expected=0)
        await note_carriers(app)
        [version] = await routes_history(control)
        assert "what has no route goes to west instead of east" in version.why
        again = await send.options(key="k").enqueue(1)
        assert (again.id, again.duplicate) == (first.id, True)


async def test_what_was_set_by_hand_counts_on(tmp_path: Path) -> None:
    app, _ = _app(tmp_path, {"other": "east"})
    async with app:
        await note_carriers(app)
    app, _ = _app(tmp_path, {"other": "east"})
    async with app:
        await note_carriers(app)
        assert await routes_history(control_of(app.carriers)) == []
