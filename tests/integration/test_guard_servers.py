"""The servers that the guard's tests stand on: PostgreSQL, and a Redis by HTTP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.servers import PostgresServer, RedisServer, RestProxy, ServerError
from tests.servers.postgres import find_programs
from tests.servers.process import wait_until


def query(server: PostgresServer, text: str) -> list[Any]:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


class TestPostgres:
    def test_restart_and_kill_keep_data_and_port(self) -> None:
        with PostgresServer(options={"max_connections": 7}) as server:
            assert query(server, "SHOW max_connections") == [("7",)]
            query(server, "CREATE TABLE kept (word text)")
            query(server, "INSERT INTO kept VALUES ('über')")
            first = server.pid
            with psycopg.connect(server.url):  # an open connection does not hold it up
                server.restart()
            assert query(server, "SELECT word FROM kept") == [("über",)]
            assert server.pid != first
            server.kill()
            with pytest.raises(psycopg.OperationalError, match="refused"):
                query(server, "SELECT 1")
            server.start()
            assert query(server, "SELECT word FROM kept") == [("über",)]

    def test_closing_removes_data_and_process(self) -> None:
        with PostgresServer() as server:
            pid, folder = server.pid, server.folder
            assert query(server, "SELECT 1") == [(1,)]
        assert not folder.exists()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    def test_it_never_runs_as_root(self, postgres_server: PostgresServer) -> None:
        assert Path(f"/proc/{postgres_server.pid}").stat().st_uid != 0

    async def test_it_dies_with_the_process_that_started_it(self, tmp_path: Path) -> None:
        # A folder that only this user may enter is not where another user's server can live.
        script = "import sys\nfrom tests.servers import PostgresServer\nserver = PostgresServer()\nserver.start()\nprint(server.pid, server.folder, flush=True)\nsys.stdin.read()"
        parent = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        assert parent.stdout is not None
        pid, folder = (await parent.stdout.readline()).decode().split()
        os.kill(int(pid), 0)
        parent.send_signal(signal.SIGKILL)
        await parent.wait()

        def dead() -> bool:
            with contextlib.suppress(FileNotFoundError):
                return (
                    Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
                )
            return True

        await asyncio.to_thread(wait_until, dead, f"server {pid} ends after its parent")
        shutil.rmtree(folder)

    def test_a_wrong_folder_is_named(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HEADWAY_POSTGRES_BIN", str(tmp_path))
        find_programs.cache_clear()
        with pytest.raises(ServerError, match="HEADWAY_POSTGRES_BIN"):
            find_programs()
        find_programs.cache_clear()


class TestRestProxy:
    @pytest.fixture
    def key(self, namespace: str) -> str:
        return f"rest:{namespace}"

    async def post(
        self, proxy: RestProxy, path: str, body: object, *, token: str | None = None, encoded: bool = False
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {proxy.token if token is None else token}"}
        if encoded:
            headers["Upstash-Encoding"] = "base64"
        async with httpx.AsyncClient() as client:
            return await client.post(f"http://127.0.0.1:{proxy.port}{path}", json=body, headers=headers)

    async def test_commands_pipelines_and_transactions(self, rest_proxy: RestProxy, key: str) -> None:
        assert (await self.post(rest_proxy, "/", ["SET", key, "ü"])).json() == {"result": "OK"}
        assert (await self.post(rest_proxy, "/", ["GET", key])).json() == {"result": "ü"}
        encoded = (await self.post(rest_proxy, "/", ["GET", key], encoded=True)).json()
        assert base64.b64decode(encoded["result"]).decode() == "ü"
        answer = await self.post(rest_proxy, "/pipeline", [["APPEND", key, "x"], ["NOPE"], ["STRLEN", key]])
        first, second, third = answer.json()
        assert (first, third) == ({"result": 3}, {"result": 3})
        assert "unknown command" in second["error"]
        answer = await self.post(rest_proxy, "/multi-exec", [["DEL", key], ["EXISTS", key]])
        assert answer.json() == [{"result": 1}, {"result": 0}]

    async def test_who_is_not_known_is_refused(self, rest_proxy: RestProxy) -> None:
        answer = await self.post(rest_proxy, "/", ["PING"], token="other")
        assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})

    async def test_scripts_keep_their_names_and_errors_their_codes(
        self, rest_proxy: RestProxy, key: str
    ) -> None:
        source = f"#!lua flags=allow-key-locking\nreturn KEYS[1] -- {key}"
        sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        answer = await self.post(rest_proxy, "/", ["EVALSHA", sha, 1, key])
        assert answer.json()["error"].startswith("NOSCRIPT ")
        assert (await self.post(rest_proxy, "/", ["EVAL", source, 1, key])).json() == {"result": key}
        assert (await self.post(rest_proxy, "/", ["EVALSHA", sha, 1, key])).json() == {"result": key}

    async def test_faults_are_done_as_told(self, redis_server: RedisServer, key: str) -> None:
        with RestProxy(redis_server) as proxy:
            proxy.refuse(1)
            assert (await self.post(proxy, "/", ["INCR", key])).status_code == 503
            assert redis_server.call("GET", key) is None
            proxy.lose_answers(1)
            with pytest.raises(httpx.TransportError):
                await self.post(proxy, "/", ["INCR", key])
            assert redis_server.call("GET", key) == "1"
            assert (await self.post(proxy, "/", ["INCR", key])).json() == {"result": 2}
            assert (proxy.requests, proxy.commands) == (3, 2)
            proxy.kill()
            with pytest.raises(httpx.ConnectError):
                await self.post(proxy, "/", ["INCR", key])
