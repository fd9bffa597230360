from __future__ import annotations

from tools.cli_reference import PAGE, page


def test_the_reference_of_the_command_line_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tools.cli_reference"
