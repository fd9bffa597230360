"""Blocking calls in a program patched by gevent or eventlet: they work where threads are real, else they say why not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import RedisServer

PROGRAM: Final = """
import sys, warnings
warnings.simplefilter("ignore")  # eventlet's, of itself
{patch}
from headway import Headway

app = Headway("green", url=sys.argv[1], namespace=sys.argv[2])

@app.task(name="t")
def t(n: int) -> int: return n

def ask(n):
    try:
        return t.sync.enqueue(n).status().value
    except Exception as error:
        return f"{{type(error).__name__}}: {{error}}"

print("\\n".join(sorted(set({spawned}))))
app.sync.close()
"""


PATCH: Final = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all({patched}); import gevent",
    "eventlet": "import eventlet; eventlet.monkey_patch({patched})",
}
SPAWNED: Final = {
    "gevent": "one.value for one in gevent.joinall([gevent.spawn(ask, n) for n in range(10)])",
    "eventlet": "one.wait() for one in [eventlet.spawn(ask, n) for n in range(10)]",
}
ADVICE: Final = {
    "gevent": "gevent.monkey.patch_all(thread=False, queue=False)",
    "eventlet": "eventlet.monkey_patch(thread=False)",
}


def _asked(folder: Path, library: str, patched: str, url: str, namespace: str) -> str:
    program = PROGRAM.format(patch=PATCH[library].format(patched=patched), spawned=SPAWNED[library])
    answer = subprocess.run(
        [sys.executable, "-c", program, url, namespace],
        cwd=folder, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


@pytest.mark.parametrize(
    ("library", "patched"), [("gevent", ""), ("gevent", "thread=False"), ("eventlet", "")]
)
def test_where_threads_are_greenlets_a_blocking_call_is_refused_at_once(
    tmp_path: Path, library: str, patched: str
) -> None:
    told = _asked(tmp_path, library, patched, "sqlite:///jobs.db", "green")
    assert told == (
        f"HeadwayError: blocking calls need real threads, and {library} has put greenlets in their place: serve with "
        f"threads (gunicorn -k gthread), or patch with {ADVICE[library]}"
    )


@pytest.mark.parametrize(
    ("library", "patched"), [("gevent", "thread=False, queue=False"), ("eventlet", "thread=False")]
)
@pytest.mark.parametrize("carrier", ["sqlite", "redis"])
def test_where_threads_are_real_it_works(
    tmp_path: Path, library: str, patched: str, carrier: str, redis_server: RedisServer, namespace: str
) -> None:
    url = redis_server.url if carrier == "redis" else "sqlite:///jobs.db"
    assert _asked(tmp_path, library, patched, url, namespace) == "ready"
