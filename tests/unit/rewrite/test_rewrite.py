from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headway.migrate.rewrite import sources
from headway.migrate.rewrite.changes import write
from headway.migrate.rewrite.rewrite import rewrite_arq

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
from arq import Retry
from arq.connections import RedisSettings


async def work(ctx, n: int):
    raise Retry(defer=n)  # caf\xe9


class WorkerSettings:
    functions = [work]
    redis_settings = RedisSettings()
"""


def _kinds(path: Path) -> list[tuple[str, int, str]]:
    return [(one.file, one.line, str(one.kind)) for one in rewrite_arq(path).findings]


def test_line_ends_encoding_and_permissions_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "worker.py"
    file.write_bytes(("# -*- coding: latin-1 -*-" + WORKER).replace("\n", "\r\n").encode("latin-1"))
    file.chmod(0o750)
    assert write(rewrite_arq(tmp_path).changes) == []
    data = file.read_bytes()
    assert b"RetryLater(n, counts=True)  # caf\xe9\r\n" in data
    assert data.count(b"\n") == data.count(b"\r\n")
    assert file.stat().st_mode & 0o777 == 0o750


def test_nothing_is_imported_or_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker.py").write_text(f"open('ran', 'w')\n{WORKER}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert rewrite_arq(tmp_path).changes
    assert not (tmp_path / "ran").exists()


def test_a_single_file(tmp_path: Path) -> None:
    file = tmp_path / "worker.py"
    file.write_text(WORKER, encoding="utf-8")
    done = rewrite_arq(file)
    assert (done.app, [one.file for one in done.changes]) == ("worker:app", ["worker.py"])


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"def (:\n", 1),
        (b"# -*- coding: nosuch -*-\n", 0),
        (b"x = '\xff'\n", 0),
        (b"x = 1\x00\n", 0),
        (b"x = " + b"(" * 5000 + b")" * 5000, 1),
        (b"\xef\xbb\xbf# -*- coding: latin-1 -*-\n", 0),
    ],
    ids=["syntax", "encoding", "not utf-8", "nul", "deep", "two encodings"],
)
def test_what_cannot_be_read_is_named_and_the_rest_goes_on(tmp_path: Path, data: bytes, line: int) -> None:
    (tmp_path / "odd.py").write_bytes(data)
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    done = rewrite_arq(tmp_path)
    assert [one.file for one in done.changes] == ["worker.py"]
    (found,) = [one for one in done.findings if one.kind == "unread"]
    assert found.file == "odd.py"
    assert found.line in {0, line}


def test_what_is_too_large_or_behind_a_link_or_of_tools_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 1000)
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    (tmp_path / "large.py").write_text("#" * 2000, encoding="utf-8")
    (tmp_path / "link.py").symlink_to(tmp_path / "worker.py")
    for folder in ("node_modules", ".git", "made/site-packages", "virtual"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "worker.py").write_text(WORKER, encoding="utf-8")
    (tmp_path / "virtual" / "pyvenv.cfg").touch()
    done = rewrite_arq(tmp_path)
    assert [one.file for one in done.changes] == ["worker.py"]
    assert ("large.py", 0, "unread") in _kinds(tmp_path)


def test_too_many_files_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FILES", 2)
    for n in range(4):
        (tmp_path / f"m{n}.py").touch()
    assert _kinds(tmp_path) == [(".", 0, "unread")]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    (folder / "worker.py").write_text(WORKER, encoding="utf-8")
    done = rewrite_arq(tmp_path)
    (folder / "worker.py").unlink()
    folder.rmdir()
    (failed,) = write(done.changes)
    assert (failed.file, failed.kind) == ("gone/worker.py", "unread")


def test_a_project_without_arq_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("class WorkerPool:\n    functions = [print]\n", encoding="utf-8")
    (tmp_path / "Dockerfile").write_text("CMD barq x.WorkerSettings\n", encoding="utf-8")
    done = rewrite_arq(tmp_path)
    assert (done.changes, done.app) == ([], "")
