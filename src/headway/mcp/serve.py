"""The tools behind standard input and output, by the official SDK."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mcp.server import MCPServer
from mcp.types import ToolAnnotations

from headway.client import Client
from headway.mcp.tools import INSTRUCTIONS, tools

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


def mcp_server(client: Client, *, allow_writes: bool) -> MCPServer[Any]:
    """Return the server of the protocol. `client` is opened and closed with it."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[Any]) -> AsyncGenerator[None]:
        async with client:
            yield

    made: MCPServer[Any] = MCPServer("headway", instructions=INSTRUCTIONS, lifespan=lifespan)
    looking = tools(client, allow_writes=False)
    for name, tool in tools(client, allow_writes=allow_writes).items():
        reads = name in looking
        hints = ToolAnnotations(read_only_hint=reads, destructive_hint=not reads)
        made.add_tool(tool, name=name, annotations=hints)
    return made


def run(url: str, key: str | None, *, allow_writes: bool) -> None:
    """Serve on standard input and output until it is closed."""
    mcp_server(Client(url, key), allow_writes=allow_writes).run("stdio")
