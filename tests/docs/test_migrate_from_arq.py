"""The commands of docs/how-to/migrate-from-arq.md run one after the other, and the scripts of write-a-source.md."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from headway.migrate.scripts import load_script
from headway.migrate.server import SourceServer
from tests.docs.commands import Page, carried_by, carriers, headway
from tests.servers import RedisServer
from tests.servers.arq_env import arq_python

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = Page("how-to/migrate-from-arq.md")
SOURCE: Final = Page("how-to/write-a-source.md")
_ENQUEUE: Final = """
import asyncio, sys
from arq.connections import RedisSettings, create_pool

async def main():
    pool = await create_pool(RedisSettings.from_dsn(sys.argv[1]))
    await pool.enqueue_job("send_mail", 1, subject="hello")
    await pool.enqueue_job("send_mail", 2, _defer_by=3600)
    await pool.enqueue_job("unlike", 3)

asyncio.run(main())
"""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("carrier", carriers("cloudtasks"))
def test_the_commands_do_what_the_page_says(carrier: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PAGE.blocks("python")[0], encoding="utf-8")
    with RedisServer() as server, carried_by(carrier, server, tmp_path):
        subprocess.run([str(arq_python()), "-c", _ENQUEUE, server.url], check=True, timeout=30)
        (tmp_path / "map.toml").write_text(PAGE.blocks("toml")[0], encoding="utf-8")
        said: dict[str, str] = {}
        for _, *words in PAGE.commands():
            typed = [word.replace("redis://localhost:6379/0", server.url) for word in words]
            said[words[1]] = headway(tmp_path, *typed)
        assert "unlike" in said["inspect"]
        assert "map says nothing of 'unlike'" in said["plan"]
        assert "moved" in said["apply"].lower()
        assert said["verify"].endswith("arguments of 2 jobs compared: all is accounted for\n")
        assert (tmp_path / "migration.md").read_text(encoding="utf-8").startswith("# Verification\n")
        assert said["revert"].startswith("2 jobs are back where they were\n")
        rest = [
            "--from",
            "arq",
            "--source",
            server.url,
            "--map",
            "map.toml",
            "--app",
            "shop:app",
            "--allow-pickle",
        ]
        planned: dict[str, Any] = json.loads(headway(tmp_path, "migrate", "plan", *rest, "--json"))
        assert (planned["moved"], planned["left"], planned["refused"]) == (2, 1, 0)


async def test_the_scripts_of_a_source(
    tmp_path: Path, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own_source" / "lua"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    for name, text in zip(("take", "put_back"), SOURCE.blocks("lua"), strict=True):
        (folder / f"{name}.lua").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    server = SourceServer(redis_url)
    await server.open()
    queue, base = f"{namespace}:list", f"{namespace}:list:headway"
    try:
        await server.command("RPUSH", queue, "one", "two")
        take, back = load_script("own_source", "take"), load_script("own_source", "put_back")
        words = ["me", "e1", "one", "head", "intent", "waiting"]
        assert await server.run(take, [base, queue], words) == 0
        assert await server.run(take, [base, queue], words) == 0  # its answer was lost
        assert await server.run(take, [base, queue], ["you", *words[1:]]) == -1
        assert await server.command("LRANGE", queue, 0, -1) == [b"two"]
        assert await server.run(back, [base, queue], ["you", "e1", "F", "full"]) == 0
        assert await server.run(back, [base, queue], ["me", "e1", "F", "full"]) == 1
        assert await server.command("LRANGE", queue, 0, -1) == [b"one", b"two"]
        assert await server.run(take, [base, queue], words) == 1  # its second life
    finally:
        await server.close()
