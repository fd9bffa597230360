"""The processors a worker may count on: machine, affinity mask and container quota, whichever is least."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from headway.runtime.limits import cpu_quota

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),  # one and a half count as two
        ("10000 100000", 1),
        ("3200000 100000", 8),  # more than the machine has
        ("0 100000", 8),
        ("x y", 8),
        ("100000", 8),
        ("100000 0", 8),
        ("", 8),
    ],
)
def test_the_quota_of_cgroup_2(tmp_path: Path, text: str, count: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpu_quota(tmp_path) == count


@pytest.mark.parametrize(("quota", "count"), [("-1", 8), ("300000", 3), ("250000", 3), ("x", 8)])
def test_the_quota_of_cgroup_1(tmp_path: Path, quota: str, count: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    assert cpu_quota(tmp_path) == count


def test_without_a_quota_the_affinity_mask_counts(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "missing") == 8


def test_without_an_affinity_mask_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cpu_quota(tmp_path) == 16
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu_quota(tmp_path) == 1
