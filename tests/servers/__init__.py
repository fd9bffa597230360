"""Real servers for tests and benchmarks: from wheels, on private ports of the loopback, in temporary folders.

Each is a context manager; each ends what it started by pid, and its processes die with the one that started them.
"""

from __future__ import annotations

from tests.servers.api import ApiServer
from tests.servers.cluster import RedisCluster
from tests.servers.emulator import EmulatorServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerError, free_port
from tests.servers.proxy import Direction, TcpProxy
from tests.servers.receiver import ReceiverServer
from tests.servers.redis import RedisServer
from tests.servers.rest_proxy import RestProxy
from tests.servers.sentinel import RedisSentinel

__all__ = [
    "ApiServer",
    "Direction",
    "EmulatorServer",
    "PostgresServer",
    "ReceiverServer",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "RestProxy",
    "ServerError",
    "TcpProxy",
    "free_port",
]
