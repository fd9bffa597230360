"""The pictures of the documentation, taken of a site with some minutes of traffic: HEADWAY_PICTURES=1."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.browser.site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PICTURES: Final = Path(__file__).resolve().parent.parent.parent / "docs" / "images"
MINUTES: Final = 3.0
_SEED: Final = """
import asyncio, random, sys
from shop import app, make_report, send_mail, wait_for

async def main(mails, reports):
    async with app:
        await app.enqueue_many([send_mail.job(f"customer{n}@example.com", "Your order", n % 9 == 0) for n in range(mails)])
        await app.enqueue_many([make_report.job(random.randrange(1000)) for _ in range(reports)])
        if random.random() < 0.1:
            await wait_for.enqueue("nobody serves this")
        await asyncio.sleep(1)  # what was counted is written

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"""
# Name, path, width, colours.
WANTED: Final = (
    ("overview", "/?span=15m", 1440, "light"),
    ("overview-dark", "/?span=15m", 1440, "dark"),
    ("overview-narrow", "/?span=15m", 390, "light"),
    ("jobs", "/jobs", 1440, "light"),
    ("queues", "/queues", 1440, "light"),
    ("failures", "/failures", 1440, "light"),
    ("schedules", "/schedules", 1440, "light"),
    ("routes", "/routes/email?span=15m", 1440, "light"),
    ("new-job", "/new?task=make_report", 1440, "light"),
    ("design", "/design", 1440, "light"),
)


@pytest.mark.skipif(
    not os.environ.get("HEADWAY_PICTURES"),
    reason="takes minutes, and writes into docs/images: HEADWAY_PICTURES=1",
)
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("browser")
def test_pictures_of_every_page(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    site = Site(tmp_path_factory.mktemp("pictures"), "email,reports")
    PICTURES.mkdir(parents=True, exist_ok=True)
    try:
        site.start()
        site.worker.start()
        (site.folder / "traffic.py").write_text(_SEED, encoding="utf-8")
        site.run(
            "routes", "set", "email", "main=75", "west=25", "--reason", "west has room", "--app", "shop:app"
        )
        chance = random.Random(7)
        end = time.monotonic() + 60 * MINUTES
        while time.monotonic() < end:
            site.python("traffic.py", str(chance.randrange(40, 260)), str(chance.randrange(0, 12)))
            time.sleep(chance.random() * 4)
        for name, path, width, mode in WANTED:
            _take(chromium, site, name, path, width, mode)
        _job(chromium, site)
    finally:
        site.close()


def _take(chromium: Browser, site: Site, name: str, path: str, width: int, mode: Any) -> None:
    context = chromium.new_context(
        base_url=site.url, viewport={"width": width, "height": 900}, color_scheme=mode, locale="en-GB"
    )
    page = context.new_page()
    page.goto(path)
    page.wait_for_timeout(500)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=name != "jobs")
    context.close()


def _job(chromium: Browser, site: Site) -> None:
    context = chromium.new_context(base_url=site.url, viewport={"width": 1440, "height": 900}, locale="en-GB")
    page = context.new_page()
    page.goto("/jobs?state=failed")
    page.locator("tbody th a").first.click()
    page.wait_for_timeout(500)
    # Whose machine it was is nobody's business.
    page.evaluate(
        "(places) => document.querySelectorAll('pre').forEach((one) => places.forEach(([from, to]) => {"
        " one.textContent = one.textContent.replaceAll(from, to); }))",
        [[str(site.folder), "/srv/shop"], [str(PICTURES.parent.parent / "src"), "/srv/venv"]],
    )
    page.screenshot(path=PICTURES / "job.png", full_page=True)
    context.close()
