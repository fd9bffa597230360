"""One Chromium and one site for the tests of a module; skipped with the reason where there is no browser."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


# Of a module, not of the session: while Playwright's blocking API is open, its loop counts as running in this thread, and
# every asynchronous test after it would fail. `xdist_group` keeps a module's tests together.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = os.environ.get("HEADWAY_CHROMIUM") or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium: install one, or name it in HEADWAY_CHROMIUM")
    with sync_playwright() as playwright:
        flags = [
            "--no-sandbox",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Site]:
    del chromium  # no site without a browser
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.start()
        site.worker.start()
        yield site
    finally:
        site.close()


@pytest.fixture(scope="module")
def migrated(site: Site) -> None:
    """Migrations of the site's app, as their commands would have told them."""
    (site.folder / "migrated.py").write_bytes(Path(__file__).with_name("migrated.py").read_bytes())
    site.python("migrated.py")


@pytest.fixture
def said() -> list[str]:
    """What the browser complained of: scripts that failed, what the policy refused."""
    return []


@pytest.fixture
def page(chromium: Browser, site: Site, said: list[str]) -> Iterator[Page]:
    """A page of a new visitor; whatever the browser complains of fails the test."""
    context = chromium.new_context(base_url=site.url, viewport={"width": 1440, "height": 900}, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: said.append(f"script: {error}"))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert said == []
