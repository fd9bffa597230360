"""What can be a task, what cannot and what to write instead; one name however the module is run."""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from headway import Headway
from headway.errors import DeclarationError, JobFailedError, UnknownTaskError
from headway.testing import inline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path


class Shop:
    def send(self, n: int) -> None: ...

    async def send_later(self, n: int) -> None: ...

    @staticmethod
    def plain(n: int) -> int:
        return n

    @classmethod
    def of(cls, n: int) -> None: ...

    def __call__(self, n: int) -> None: ...


def function(n: int) -> int:
    return n


async def coroutine_function(n: int) -> int:
    return n


def generator(n: int) -> Iterator[int]:
    yield n


async def async_generator(n: int) -> AsyncIterator[int]:
    yield n


def around(inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def wrapper(*args: Any) -> Any:
        return inner(*args)

    return wrapper


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (Shop, "the class Shop: write a function that makes one"),
        (Shop(), "write a def that calls it"),
        (Shop().send, "the method Shop.send: its object cannot travel"),
        (Shop.of, "the method Shop.of: its object cannot travel"),
        (Shop.send, "the method Shop.send: nobody has its object when the job runs"),
        (Shop.send_later, "the method Shop.send_later: nobody has its object"),
        (Shop.__dict__["plain"], "a staticmethod: move the function out of its class"),
        (Shop.__dict__["of"], "a classmethod: move the function out of its class"),
        (functools.partial(function, 1), "write a def that calls it, or pass its arguments when you enqueue"),
        (print, "write a def that calls it"),
        (lambda: None, "a lambda has no name of its own: write a def, or give it one with name="),
        (generator, "generator is a generator function, which cannot be a task: return a list"),
        (async_generator, "async_generator is a generator function"),
        (around(generator), "generator is a generator function"),
        (around(coroutine_function), "coroutine_function is a def around an async def"),
        (Headway("x").task(name="t")(function), "write a def that calls it"),
        (3, "write a def that calls it"),
        (None, ""),
    ],
)
def test_what_cannot_be_a_task_is_refused_with_what_to_write(written: Any, told: str) -> None:
    app = Headway("x")
    if written is None:
        assert callable(app.task(written))
        return
    with pytest.raises(DeclarationError) as raised:
        app.task(written)
    assert told in str(raised.value)
    assert dict(app.tasks) == {}


def test_functions_of_all_kinds_are_tasks() -> None:
    app = Headway("x")
    for number, written in enumerate(
        (function, coroutine_function, around(function), Shop.plain, lambda: None)
    ):
        declare: Any = app.task(name=f"t{number}")
        assert declare(written).name == f"t{number}"

    @app.task
    def inner() -> None: ...

    assert inner.name == f"{__name__}.test_functions_of_all_kinds_are_tasks.<locals>.inner"


PROGRAM = """
from headway import Headway
app = Headway("shop")
@app.task
def hello() -> None: ...
if __name__ != "pkg.shop" and __name__ != "shop":
    print(hello.name)
"""


@pytest.mark.parametrize("package", [True, False])
@pytest.mark.parametrize(
    ("command", "below", "named"),
    [
        (["pkg/shop.py"], "", "pkg.shop.hello"),
        (["-m", "pkg.shop"], "", "pkg.shop.hello"),
        (["{root}/pkg/shop.py"], "", "pkg.shop.hello"),
        (["shop.py"], "pkg", "shop.hello"),
    ],
)
def test_a_task_has_one_name_however_its_module_is_run(
    tmp_path: Path, command: list[str], below: str, named: str, package: bool
) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/shop.py").write_text(PROGRAM)
    if package:
        (tmp_path / "pkg/__init__.py").touch()
        named = "pkg.shop.hello"  # as a package it cannot be imported otherwise
    words = [word.format(root=tmp_path) for word in command]
    answer = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path / below,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.stdout.strip() == named, answer.stderr


def test_a_folder_on_the_path_is_where_names_begin(tmp_path: Path) -> None:
    (tmp_path / "src/pkg").mkdir(parents=True)
    (tmp_path / "src/pkg/shop.py").write_text(PROGRAM)
    answer = subprocess.run(
        [sys.executable, "src/pkg/shop.py"],
        cwd=tmp_path, env={"PYTHONPATH": "src"}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert answer.stdout.strip() == "pkg.shop.hello", answer.stderr


def test_processes_that_multiprocessing_spawns_know_the_same_name(tmp_path: Path) -> None:
    program = (
        PROGRAM
        + "\nimport multiprocessing as m\nif __name__ == '__main__':\n    p = m.get_context('spawn').Process(target=print)\n    p.start(); p.join()\n"
    )
    (tmp_path / "jobs.py").write_text(program)
    answer = subprocess.run(
        [sys.executable, "jobs.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.stdout.split() == ["jobs.hello", "jobs.hello"], answer.stderr


def test_a_program_without_a_file_has_to_name_its_tasks(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (
        "hello stands in no file, so no worker could find it by its module: give the task a name="
        in answer.stderr
    )


async def test_a_job_of_an_alias_runs_inline_and_another_is_told_of_it() -> None:
    before, after = Headway("aliases"), Headway("aliases")
    old = before.task(name="shop.hello")(function)
    new = after.task(name="pkg.shop.hello", aliases=["shop.hello"])(function)
    assert after.find_task("shop.hello") is after.find_task("pkg.shop.hello") is new
    assert list(after.tasks) == ["pkg.shop.hello"]
    async with inline(after) as box:
        await after.accept(old.job(3).new)
        await box.run_until_idle()
        (job,) = await box.jobs()
        assert (job.task, job.result) == ("shop.hello", 3)
    strict = Headway("aliases")
    strict.task(name="pkg.shop.hello")(function)
    hint = r"no task 'shop.hello'.*if 'pkg.shop.hello' is meant, declare it with aliases=\['shop.hello'\]"
    with pytest.raises(UnknownTaskError, match=hint):
        strict.find_task("shop.hello")
    async with inline(strict) as box:
        await strict.accept(old.job(3).new)
        with pytest.raises(JobFailedError, match=hint):
            await box.run_until_idle()


@pytest.mark.parametrize("aliases", [["a"], ["b"], ["c", "c"], ["d"]])
def test_a_name_stands_for_one_task(aliases: list[str]) -> None:
    app = Headway("x")
    app.task(name="a", aliases=["b"])(function)
    with pytest.raises(DeclarationError, match="is declared twice, as a name or an alias"):
        app.task(name="d", aliases=aliases)(function)
