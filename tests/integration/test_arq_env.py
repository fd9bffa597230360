from __future__ import annotations

import os
import subprocess

from tests.servers.arq_env import arq_python


def test_arq_runs_in_an_environment_of_its_own() -> None:
    code = "import arq.version, redis; print(arq.version.VERSION, redis.__version__)"
    done = subprocess.run([arq_python(), "-c", code], capture_output=True, text=True, check=True)
    arq, redis = done.stdout.split()
    assert arq.startswith(os.environ.get("HEADWAY_ARQ", "0.28"))
    assert redis.split(".")[0] == "5"
