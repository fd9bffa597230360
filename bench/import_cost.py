"""CPU time of `import headway` beyond that of the bare interpreter: the median of ten runs of each.

`python -m bench.import_cost`
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

RUNS = 10


def cpu_seconds(statement: str) -> float:
    """User and system time of a fresh interpreter that executes the statement."""
    process = subprocess.Popen([sys.executable, "-c", statement])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        msg = f"python -c {statement!r} ended with {process.returncode}"
        raise RuntimeError(msg)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the medians in milliseconds."""
    cpu_seconds("import headway")  # the first one writes the bytecode
    bare = statistics.median(cpu_seconds("pass") for _ in range(RUNS))
    for name in ("headway", "headway.testing.plugin"):
        whole = statistics.median(cpu_seconds(f"import {name}") for _ in range(RUNS))
        print(
            f"import {name}: {1000 * (whole - bare):.0f} ms of CPU beyond the interpreter's {1000 * bare:.0f} ms"
        )


if __name__ == "__main__":
    main()
