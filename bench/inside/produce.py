"""The producer's process: `python -m bench.inside.produce bench.peers.arq.producer`.

One JSON object a line: `{"load": "bulk", ...}` comes in; `{"event": "ready"}`, then for each load `{"event": "done",
...}`, `{"event": "unsupported", "reason": ...}` or `{"event": "failed", "reason": ...}` go out. It ends with its input.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import traceback
from typing import Any

from bench.inside.loads import Loads
from bench.inside.producer import Producer, UnsupportedError


async def _serve(output: int) -> None:
    def say(**message: Any) -> None:  # noqa: ANN401 - JSON
        os.write(output, json.dumps(message).encode() + b"\n")

    module = importlib.import_module(sys.argv[1])
    producer: Producer = module.ADAPTER()
    await producer.open()
    loads = Loads(producer)
    say(event="ready", pid=os.getpid())
    while line := await asyncio.to_thread(sys.stdin.readline):
        command: dict[str, Any] = json.loads(line)
        load = getattr(loads, command.pop("load"))
        try:
            say(event="done", **await load(**command))
        except UnsupportedError as error:
            say(event="unsupported", reason=str(error))
        except Exception as error:  # noqa: BLE001 - the harness reports it
            traceback.print_exc()
            say(event="failed", reason=f"{type(error).__name__}: {error}")
    await producer.close()


def _main() -> None:
    # Whatever the peer prints goes to the log, not between the messages.
    output = os.dup(1)
    os.dup2(2, 1)
    try:
        import uvloop  # noqa: PLC0415 - where the peer's environment has it
    except ImportError:
        asyncio.run(_serve(output))
    else:
        uvloop.run(_serve(output))


if __name__ == "__main__":
    _main()
