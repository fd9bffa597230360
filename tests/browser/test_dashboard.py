"""The dashboard as people use it, in a real browser."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.sync_api import expect

from headway.dashboard.places import PLACES
from tests.browser.site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATHS: Final = (
    *(place.path for place in PLACES),
    "/new?task=make_report",
    "/new-schedule?task=send_mail",
    "/acts",
    "/design",
    "/routes/email",
    "/new?task=headway.http.call",
    "/migrations/00000000000000a1",
    "/migrations/00000000000000c3",
)
SIZES: Final = {"wide": {"width": 1440, "height": 900}, "narrow": {"width": 390, "height": 844}}

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("browser")]
expect.set_options(timeout=20_000)


def test_a_job_from_the_form_is_watched_to_its_end_without_a_reload(page: Page, site: Site) -> None:
    page.goto("/new")
    page.get_by_role("link", name="wait_for").click()
    page.get_by_label("file").fill("go-on")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.locator("h1")).to_have_text("wait_for")
    page.evaluate("window.marked = true")
    expect(page.locator(".head .state")).to_have_text("running")
    (site.folder / "go-on").touch()
    expect(page.locator(".head .state")).to_have_text("succeeded")
    expect(page.get_by_role("heading", name="Result")).to_be_visible()
    assert page.evaluate("window.marked") is True, "the page was loaded anew"


def test_a_queue_is_paused_for_ten_minutes_by_keyboard_alone(page: Page, site: Site) -> None:
    page.goto("/queues")
    row = page.locator("tr[data-key=email]")
    row.get_by_text("Pause", exact=True).first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("10m")
    page.keyboard.press("Enter")
    expect(page.locator(".toasts")).to_contain_text("Queue email is paused for 10m")
    expect(row).to_contain_text("paused until")
    assert "email" in site.run("queues", "list", "--app", "shop:app", "--json")
    row.get_by_role("button", name="Resume").press("Enter")
    expect(row).not_to_contain_text("paused until")


def test_a_dead_group_is_counted_and_retried(page: Page, site: Site) -> None:
    for customer in range(5):
        site_job(page, "make_report", customer=str(customer))
    page.goto("/failures")
    group = page.locator("#groups tbody tr")
    expect(group).to_contain_text("ValueError")
    expect(group.locator("td.num")).to_have_text("5")
    (site.folder / "mended").touch()
    group.get_by_role("button", name="Retry all").click()
    page.get_by_role("button", name="Retry 5 jobs").click()
    expect(
        page.locator("#act dt", has_text="Done")
    ).to_be_visible()  # of the act; when only counted, there is none
    expect(page.locator("#act dd strong")).to_have_text("done")
    page.goto("/jobs?task=make_report")
    expect(page.locator("tbody .state.succeeded")).to_have_count(5)


def test_marked_jobs_are_cancelled(page: Page, site: Site) -> None:
    del site
    page.goto("/queues")
    row = page.locator("tr[data-key=email]")
    row.get_by_text("Pause", exact=True).first.click()
    row.get_by_role("button", name="Pause it").click()
    expect(row).to_contain_text("paused")
    for n in range(3):
        site_job(page, "send_mail", to=f"{n}@example.com")
    page.goto("/jobs?state=ready&task=send_mail")
    page.get_by_label("Mark all on this page").check()
    expect(page.locator("[data-marked]")).to_have_text("3")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator(".toasts")).to_contain_text("3 jobs were cancelled.")
    page.goto("/queues")
    row.get_by_role("button", name="Resume").click()


def test_a_schedule_is_made(page: Page) -> None:
    page.goto("/schedules")
    page.get_by_role("link", name="New schedule").click()
    page.get_by_role("link", name="send_mail").click()
    page.get_by_label("Name", exact=True).fill("every-hour")
    page.get_by_label("Interval").fill("1h")
    page.locator("[name='arg.to']").fill("somebody@example.com")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("tr[data-key=every-hour]")).to_contain_text("made at run time")


def test_a_route_is_changed_and_a_roll_out_begun_and_aborted(page: Page) -> None:
    page.goto("/routes")
    page.get_by_role("link", name="email", exact=True).click()
    page.get_by_text("Begin a roll-out").click()
    page.get_by_label("To carrier").select_option("west")
    page.get_by_label("Steps, %").fill("10, 100")
    page.get_by_label("Fewest jobs for a judgement").fill("50")
    page.get_by_label("Most errors").fill("5%")
    page.get_by_role("button", name="Begin").click()
    expect(page.locator(".toasts")).to_contain_text("The roll-out of email to west has begun.")
    expect(page.locator("#rollout")).to_contain_text("running at 10 %")
    page.get_by_text("Abort").first.click()
    page.locator("details[open] button", has_text="Abort").click()
    expect(page.locator("#rollout")).to_contain_text("aborted")


def test_what_is_wrong_is_said_and_leads_to_where_it_is_mended(page: Page, site: Site) -> None:
    site.worker.stop()
    try:
        site_job(page, "send_mail", to="somebody@example.com")
        page.goto("/")
        finding = page.locator(".finding", has_text="Queue email is served by nobody")
        expect(finding).to_be_visible()
        finding.get_by_role("link").click()
        expect(page.locator("h1")).to_have_text("Workers")
    finally:
        site.worker.start()
    page.goto("/")
    expect(page.locator(".finding", has_text="served by nobody")).to_have_count(0)


def test_keys_lead_around(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    for key, title in (("q", "Queues"), ("j", "Jobs")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page.locator("h1")).to_have_text(title)
    page.keyboard.press("/")
    expect(page.locator(".filters input").first).to_be_focused()


def test_a_server_that_restarts_is_said_and_found_again(page: Page, site: Site, said: list[str]) -> None:
    page.goto("/jobs")
    expect(page.locator(".live")).to_have_attribute("data-state", "on")
    site.server.stop()
    expect(page.locator(".live")).to_have_attribute("data-state", "off")
    site.start()
    expect(page.locator(".live")).to_have_attribute("data-state", "on")
    said[:] = [one for one in said if "ERR_" not in one]  # that it was away, the browser says as well


@pytest.mark.parametrize("size", SIZES)
def test_no_page_breaks_the_rules_of_access(
    chromium: Browser, site: Site, migrated: None, size: str, said: list[str]
) -> None:
    """In both modes: they differ in colours alone, so in the dark only the rules of colours are asked again."""
    del migrated
    context = chromium.new_context(base_url=site.url, viewport=SIZES[size], color_scheme="light")  # type: ignore[arg-type]
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    wrong: list[str] = []
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    every = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    modes: dict[Any, dict[str, Any]] = {
        "light": {"runOnly": every},
        "dark": {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}},
    }
    for path in PATHS:
        page.emulate_media(color_scheme="light")
        page.goto(path)
        page.wait_for_load_state("domcontentloaded")
        page.evaluate(axe)
        for mode, rules in modes.items():
            page.emulate_media(color_scheme=mode)
            found = page.evaluate("(rules) => axe.run(document, rules)", rules)
            wrong += [
                f"{path}, {mode}: {one['id']}: {one['nodes'][0]['html'][:160]}: "
                f"{one['nodes'][0].get('failureSummary', '')[:200]}"
                for one in found["violations"]
            ]
            assert found["passes"], f"{path}, {mode}: no rule was asked"
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            wrong.append(f"{path}: wider than the window by {wide} px")
    context.close()
    assert wrong == []
    assert said == []


def test_without_script_everything_can_be_read_and_done(chromium: Browser, site: Site) -> None:
    context = chromium.new_context(base_url=site.url, java_script_enabled=False)
    page = context.new_page()
    for path in PATHS:
        page.goto(path)
        assert page.locator("h1").count() == 1, path
    page.goto("/queues")
    row = page.locator("tr[data-key=slow]")
    row.locator("summary", has_text="Pause").click()
    row.get_by_role("button", name="Pause it").click()
    expect(page.locator(".message")).to_contain_text("Queue slow is paused until somebody resumes it.")
    row.get_by_role("button", name="Resume").click()
    expect(page.locator(".message")).to_contain_text("Queue slow goes on.")
    context.close()


def test_signing_in_and_out(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    """On a site of its own: with the first key nobody comes in without one."""
    own = Site(tmp_path_factory.mktemp("keys"))
    context = None
    try:
        made = own.run("keys", "create", "--app", "shop:app", "--role", "read", "--name", "viewer", "--json")
        own.start()
        context = chromium.new_context(base_url=own.url)
        page = context.new_page()
        page.goto("/queues")
        assert "/sign-in" in page.url
        page.get_by_label("API key").fill("hw_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("this key is not good")
        page.get_by_label("API key").fill(json.loads(made)["key"])
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("h1")).to_have_text("Queues")
        expect(page.get_by_text("Pause", exact=True)).to_have_count(0)  # who reads does not act
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("h1")).to_have_text("Sign in")
    finally:
        if context is not None:
            context.close()
        own.close()


def site_job(page: Page, task: str, **arguments: str) -> None:
    """Make a job by the form."""
    page.goto(f"/new?task={task}")
    for name, value in arguments.items():
        page.locator(f"[name='arg.{name}']").fill(value)
    page.get_by_role("button", name="Enqueue").click()
    page.wait_for_url("**/jobs/*")
