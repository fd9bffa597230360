"""The commands of docs/how-to/roll-out.md run one after the other, as the page has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.docs.commands import Page, headway, settle

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = Page("how-to/roll-out.md")
START: Final = "rollout start reports --to next --max-error-rate 1% --max-p95 5s --max-queue-latency 30s"


@pytest.mark.parametrize("other", ["redis", "sqlite"])
def test_the_commands_do_what_the_page_says(
    tmp_path: Path, other: str, request: pytest.FixtureRequest, namespace: str
) -> None:
    url = request.getfixturevalue("redis_url") if other == "redis" else "sqlite:///next.db"
    carriers, plan = PAGE.blocks("toml")
    carriers = carriers.replace("redis://localhost:6379/0", url)
    (tmp_path / "headway.toml").write_text(f'namespace = "{namespace}"\n{carriers}')
    (tmp_path / "plan.toml").write_text(plan)
    (tmp_path / "shop.py").write_text(PAGE.blocks("python")[0])

    said: dict[str, str] = {}
    for _, *words in PAGE.commands():
        said[" ".join(words)] = headway(tmp_path, *words)
        if words[1] in {"start", "abort"} and "--dry-run" not in words:
            settle(tmp_path / "jobs.db")
    assert said[f"{START} --dry-run"].endswith("nothing was begun\n")
    assert "begun: reports to next, 1 % now" in said[f"{START} --reason a new server"]
    assert "running" in said["rollout status reports"]
    assert "at 1 %: a deploy of the shop" in said["rollout history reports"]
    assert said["rollout abort reports --reason not today"].endswith("the roll-out is aborted\n")
    assert "reports to next: 1 %" in said["rollout start --plan plan.toml --dry-run"]
    assert "email to next: 10 %" in said["rollout start --plan plan.toml --dry-run"]
    assert "plan of reports, email: 0 of 2 done" in said["rollout status"]
