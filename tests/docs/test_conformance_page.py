"""The page of what is left out says what the marks say, and every mark has a reason."""

from __future__ import annotations

from tests.conformance.exclusions import PAGE, capabilities, cases, page
from tests.conformance.needs import REASONS, has


def test_the_page_is_that_of_the_marks() -> None:
    fix = "write it anew with: python -m tests.conformance.exclusions"
    assert PAGE.read_text(encoding="utf-8") == page(), fix


def test_every_need_of_a_case_has_a_reason_and_is_lacked_by_somebody() -> None:
    """A mark that no carrier minds hides nothing, but says something untrue."""
    needed = {need for case in cases() for need in case.needs}
    assert needed <= REASONS.keys() | {"cancel_running"}
    for need in needed - {"cancel_running", "one_store"}:  # several carriers behind a route lack the second
        assert not all(has(able, need) for able in capabilities().values()), need


def test_the_carriers_with_workers_are_held_to_every_case() -> None:
    able = capabilities()
    for case in cases():
        for need in case.needs:
            assert has(able["sqlite"], need), case
            assert has(able["redis"], need), case
