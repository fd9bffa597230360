"""All mutants."""

from __future__ import annotations

from typing import Final

from tests.mutants.of_carriers import GUARD, REDIS, SQLITE
from tests.mutants.of_runtime import RUNTIME

MUTANTS: Final = (*REDIS, *SQLITE, *GUARD, *RUNTIME)
