"""What `import headway` gives, and what it does not load; the tree of errors as it is drawn."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys

import headway
from headway import errors, testing

PUBLIC = {
    "CatchUp",
    "Context",
    "Discard",
    "EnqueueCall",
    "Headway",
    "HeadwayError",
    "JobCall",
    "JobHandle",
    "JobInfo",
    "JobState",
    "Proceed",
    "QueueInfo",
    "Resource",
    "Resources",
    "Retry",
    "RetryLater",
    "ScheduleInfo",
    "SyncJobHandle",
    "Task",
    "Unique",
    "__version__",
}


def test_the_public_names() -> None:
    assert set(headway.__all__) == PUBLIC
    assert headway.__all__ == sorted(headway.__all__)
    assert all(hasattr(headway, name) for name in headway.__all__)


def test_the_names_of_testing_are_all_there_and_documented() -> None:
    assert testing.__all__ == sorted(testing.__all__)
    for name in testing.__all__:
        found = getattr(testing, name)
        assert callable(found), name
        assert inspect.getdoc(found), name
        assert found.__name__ == name


def test_the_version_is_the_one_of_the_distribution() -> None:
    from importlib.metadata import version  # noqa: PLC0415

    assert headway.__version__ == version("headway")


def loaded_by(statement: str) -> set[str]:
    script = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(answer.stdout.splitlines()[-1]))


HEAVY = {
    "redis",
    "hiredis",
    "asyncio",
    "uvloop",
    "sqlite3",
    "zstandard",
    "click",
    "django",
    "fastapi",
    "starlette",
    "flask",
    "aiohttp",
    "google",
    "tomllib",
    "ssl",
    "logging",
    "zoneinfo._tzpath",
}


def test_importing_headway_loads_no_driver_framework_or_event_loop() -> None:
    assert loaded_by("import headway") & (HEAVY - {"logging", "zoneinfo._tzpath"}) == set()


def test_declaring_tasks_loads_none_either() -> None:
    statement = "import headway\napp = headway.Headway('x')\n@app.task(name='t')\ndef t(n: int) -> int: return n\nt.job(1)"
    assert loaded_by(statement) & {"redis", "asyncio", "sqlite3", "uvloop"} == set()


def test_loading_the_pytest_plugin_is_cheap() -> None:
    assert (
        loaded_by("import pytest, headway.testing.plugin")
        & {"redis", "asyncio", "sqlite3", "headway.runtime"}
        == set()
    )


def tree_of_classes() -> dict[str, str]:
    found = {}
    for name, kind in vars(errors).items():
        if (
            inspect.isclass(kind)
            and issubclass(kind, errors.HeadwayError)
            and kind is not errors.HeadwayError
        ):
            found[name] = next(
                base.__name__ for base in kind.__bases__ if issubclass(base, errors.HeadwayError)
            )
    return found


def tree_of_docstring() -> dict[str, str]:
    drawing = re.findall(r"^([│├└─ ]*)(\w+Error)\b", (errors.__doc__ or "").split("```")[1], re.MULTILINE)
    found, above = {}, ["HeadwayError"]
    for lines, name in drawing:
        depth = len(lines) // 4
        if depth:
            found[name] = above[depth - 1]
        above[depth:] = [name]
    return found


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert tree_of_docstring() == tree_of_classes()


def test_every_error_has_a_docstring_that_says_what_happened() -> None:
    for name in tree_of_classes():
        assert (getattr(errors, name).__doc__ or "").strip().endswith("."), name


def test_errors_are_also_the_builtin_ones_that_callers_expect() -> None:
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.ArgumentsError, TypeError)
    assert issubclass(errors.BrokerUnavailableError, ConnectionError)
    assert issubclass(errors.ResultTimeoutError, TimeoutError)
    assert issubclass(errors.JobNotFoundError, LookupError)
    assert not issubclass(errors.RetryLater, errors.HeadwayError)
    assert not issubclass(errors.Discard, errors.HeadwayError)
