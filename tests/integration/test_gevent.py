"""Blocking calls in a program that gevent has patched: they work where threads are real, and say so where they are not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import RedisServer

PROGRAM: Final = """
import sys
import gevent.monkey
gevent.monkey.patch_all({patched})
import gevent
from headway import Headway

app = Headway("green", url=sys.argv[1], namespace=sys.argv[2])

@app.task(name="t")
def t(n: int) -> int: return n

def ask(n):
    try:
        return t.sync.enqueue(n).status().value
    except Exception as error:
        return f"{{type(error).__name__}}: {{error}}"

asked = [gevent.spawn(ask, n) for n in range(10)]
gevent.joinall(asked)
print("\\n".join(sorted({{one.value for one in asked}})))
app.sync.close()
"""


def _asked(folder: Path, patched: str, url: str, namespace: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(patched=patched), url, namespace],
        cwd=folder, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


@pytest.mark.parametrize("patched", ["", "thread=False"])
def test_where_threads_are_greenlets_a_blocking_call_is_refused_at_once(tmp_path: Path, patched: str) -> None:
    told = _asked(tmp_path, patched, "sqlite:///jobs.db", "green")
    assert told == (
        "HeadwayError: blocking calls need real threads, and gevent has put greenlets in their place: serve with "
        "threads (gunicorn -k gthread), or patch with gevent.monkey.patch_all(thread=False, queue=False)"
    )


@pytest.mark.parametrize("carrier", ["sqlite", "redis"])
def test_where_threads_are_real_it_works(
    tmp_path: Path, carrier: str, redis_server: RedisServer, namespace: str
) -> None:
    url = redis_server.url if carrier == "redis" else "sqlite:///jobs.db"
    assert _asked(tmp_path, "thread=False, queue=False", url, namespace) == "ready"
