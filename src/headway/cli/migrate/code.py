"""`headway migrate code`: what a project that uses arq, BullMQ or Bull becomes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headway.cli.failures import EXIT_FAILURE
from headway.cli.options import examples, json_option
from headway.cli.output import print_json, printable
from headway.cli.streams import emit, say
from headway.errors import ConfigError

if TYPE_CHECKING:
    from headway.migrate.rewrite.changes import Change, Rewriting
    from headway.migrate.rewrite.findings import Finding

_EVERY = 1000  # files between two lines of progress


@click.command(
    epilog=examples(
        "headway migrate code --from arq .",
        "headway migrate code --from arq src --write",
        "headway migrate code --from bullmq src --source redis://localhost:6379/0 --into jobs --write",
        "headway migrate code --from arq . --json | jq .findings",
    )
)
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--from",
    "system",
    type=click.Choice(["arq", "bullmq", "bull"]),
    required=True,
    help="What the project uses now.",
)
@click.option("--write", "is_written", is_flag=True, help="Write the files; without it they are only shown.")
@click.option("--source", help="BullMQ, Bull: the Redis with the jobs, to see real payloads.")
@click.option("--prefix", help="BullMQ, Bull: the prefix of the keys.  [default: the library's]")
@click.option(
    "--samples",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="Payloads that are read of each job.",
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    help="BullMQ, Bull: where tasks.py and map.toml go.  [default: here]",
)
@json_option("the changes and what is left to do by hand")
def code(
    path: Path,
    system: str,
    *,
    is_written: bool,
    source: str | None,
    prefix: str | None,
    samples: int,
    into: Path,
    as_json: bool,
) -> int:
    """Rewrite the code below PATH. Nothing of it is imported or run.

    From arq: the Python, with its Dockerfiles, Compose files and requirements. From BullMQ and Bull: the TypeScript and
    JavaScript is read, and tasks.py and map.toml are made, with types from real payloads where --source is given.

    Without --write it shows a unified diff, then what is left to do by hand, by file and line. Exit code 1: a file
    could not be read or written; the others were.
    """
    if system == "arq":
        if source is not None or prefix is not None:
            msg = "--source and --prefix are for BullMQ and Bull: the payloads of arq are in its code"
            raise ConfigError(msg)
        done = _arq(path)
    else:
        done = _node(system, path, into, source=source, prefix=prefix, samples=samples)
    failed = _write(done, into) if is_written else []
    findings = [*failed, *done.findings]
    if as_json:
        print_json(_document(done, findings, is_written=is_written))
    else:
        _show(done, findings, is_written=is_written)
    return EXIT_FAILURE if any(one.kind == "unread" for one in findings) else 0


def _arq(path: Path) -> Rewriting:
    try:
        from headway.migrate.rewrite.rewrite import rewrite_arq
    except ModuleNotFoundError as error:
        if error.name != "libcst":
            raise
        msg = "headway migrate code needs libcst: pip install 'headway[migrate]'"
        raise ConfigError(msg) from error
    return rewrite_arq(path, progress=_progress)


def _node(
    system: str, path: Path, into: Path, *, source: str | None, prefix: str | None, samples: int
) -> Rewriting:
    import asyncio

    from headway.migrate.node.sampling import sample
    from headway.migrate.node.writing import read_node

    sampled = None if source is None else asyncio.run(sample(system, source, prefix=prefix, most=samples))
    return read_node(system, path, into, sampled)


def _write(done: Rewriting, into: Path) -> list[Finding]:
    from headway.migrate.rewrite.changes import write

    if any(change.is_new for change in done.changes):
        into.mkdir(parents=True, exist_ok=True)
    return write(done.changes)


def _progress(files: int) -> None:
    if files % _EVERY == 0:
        say(f"headway: {files} files read")


def _document(done: Rewriting, findings: list[Finding], *, is_written: bool) -> dict[str, Any]:
    return {
        "app": done.app,
        "tasks": done.tasks,
        "written": is_written,
        "changes": [{"file": one.file, "new": one.is_new, "diff": one.diff} for one in done.changes],
        "findings": [
            {"file": one.file, "line": one.line, "kind": str(one.kind), "what": one.what, "todo": one.todo}
            for one in findings
        ],
    }


def _show(done: Rewriting, findings: list[Finding], *, is_written: bool) -> None:
    for change in done.changes:
        if is_written:
            emit(f"{'made' if change.is_new else 'changed'}  {printable(change.file)}")
        else:
            _show_diff(change)
    for kind, title in (
        ("unread", "Could not be read or written"),
        ("by hand", "Left to do by hand"),
        ("check", "Changed, to be looked at"),
    ):
        some = [one for one in findings if one.kind == kind]
        if some:
            emit("")
            emit(click.style(f"{title}:", bold=True))
        for one in some:
            where = f"{one.file}:{one.line}" if one.line else one.file
            emit(f"  {printable(where)}  {printable(one.what)}")
            emit(f"      {printable(one.todo)}")
    _end(done, findings, is_written=is_written)


def _show_diff(change: Change) -> None:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in change.diff.splitlines():
        text = "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line)
        colour = colours.get(line[:1])
        emit(click.style(text, fg=colour) if colour else text)


def _end(done: Rewriting, findings: list[Finding], *, is_written: bool) -> None:
    by_hand = sum(one.kind == "by hand" for one in findings)
    say("")
    if not done.changes:
        say(f"headway: nothing to change; {by_hand} left by hand")
        return
    files = f"{len(done.changes)} file{'' if len(done.changes) == 1 else 's'}"
    what = "changed" if is_written else "to change: --write does it"
    say(f"headway: {files} {what}; {by_hand} left by hand")
    if done.app:
        say(f"headway: run the worker with: headway worker {printable(done.app)}")
