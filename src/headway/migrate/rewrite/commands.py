"""arq's command in Dockerfiles, Compose files, scripts and the like, and arq among the requirements."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from headway.migrate.rewrite.findings import Finding, Kind

if TYPE_CHECKING:
    from headway.migrate.rewrite.findings import Report
    from headway.migrate.rewrite.home import Home
    from headway.migrate.rewrite.workers import Worker

_SUFFIXES: Final = frozenset(
    {
        ".yml",
        ".yaml",
        ".sh",
        ".toml",
        ".conf",
        ".ini",
        ".service",
        ".cfg",
        ".mk",
        ".json",
        ".txt",
        ".md",
        ".rst",
    }
)
_NAMES: Final = re.compile(
    r"(Dockerfile|Containerfile|Procfile|Makefile|justfile|compose|entrypoint)", re.IGNORECASE
)
_GAP: Final = (
    r"""(?:[ \t]+|["'],\s*["']|["']?\s*\n\s*-\s*["']?)"""  # in a line, in a JSON list, in a YAML list
)
_COMMAND: Final = re.compile(
    rf"(?<![\w./-])(?P<python>python[\d.]*{_GAP}-m{_GAP})?(?P<path>(?:/[\w.-]+)+/)?arq"
    rf"(?P<early>(?:{_GAP}--?[a-z][\w-]*)*)(?P<gap>{_GAP})(?P<class>[A-Za-z_][\w.]*\.\w+)"
    rf"(?P<options>(?:{_GAP}(?:--(?:watch|custom-log-dict)(?:=|{_GAP})[\w./:-]+|--?[a-z][\w-]*))*)"
)
_SAYS_MORE: Final = 100
_PAGES: Final = frozenset({".md", ".rst", ".txt"})
_REQUIREMENT: Final = re.compile(
    r"^arq(\[[\w,-]+\])?(?=\s*($|[=<>~!;#@]))(?P<version>[^;#\n]*?)(?=[ \t]*(?:$|[;#]))", re.MULTILINE
)
_DEPENDENCY: Final = re.compile(r"""(?P<quote>["'])arq(\[[\w,-]+\])?\s*([=<>~!][^"']*)?(?P=quote)""")
_POETRY: Final = re.compile(r"^arq\s*=\s*.+$", re.MULTILINE)


def is_read(name: str) -> bool:
    """Tell whether a file that is no Python may name arq's command."""
    path = PurePosixPath(name)
    return path.suffix in _SUFFIXES or _NAMES.search(path.name) is not None or not path.suffix


def changed(name: str, text: str, workers: list[Worker], home: Home, report: Report) -> str:
    """Return the text with our command in the place of arq's."""
    several = len(workers) > 1

    def command(match: re.Match[str]) -> str:
        line = text.count("\n", 0, match.start()) + 1
        worker = _worker(match["class"], workers)
        if worker is None and PurePosixPath(name).suffix in _PAGES:
            return match[0]
        if worker is None:
            what = f"{match['class']} is no class of worker settings that was read"
            report(Finding(name, line, Kind.HAND, what, "headway worker module:app"))
            return match[0]
        gap = match["gap"]
        options = f"{match['early'] or ''}{match['options'] or ''}"
        words = [
            f"{match['path'] or ''}headway",
            "dev" if "--watch" in options else "worker",
            _here(match["class"], worker, home),
        ]
        if "--check" in options:
            words[1:] = ["workers", "--app", _here(match["class"], worker, home)]
        if "--burst" in options:
            what = "--burst ends the worker when nothing waits, which `headway worker` does not"
            report(
                Finding(
                    name, line, Kind.HAND, what, "use headway.testing.inline in tests, a schedule elsewhere"
                )
            )
        if several and "--check" not in options:
            words += [f"--queues{_equals(gap)}{queue_of(worker)}", *_concurrency(worker, gap)]
        return gap.join(words)

    return _COMMAND.sub(command, text)


def modules_run(name: str, text: str) -> dict[str, int]:
    """Return the modules that arq's command names in a file, and how much that says: a page says little."""
    weight = 1 if PurePosixPath(name).suffix in _PAGES else _SAYS_MORE
    return {match["class"].rpartition(".")[0]: weight for match in _COMMAND.finditer(text)}


def requirement(name: str, text: str) -> str:
    """Return requirements with `headway[redis]` in the place of arq."""
    path = PurePosixPath(name)
    if path.suffix in {".txt", ".in"}:
        return _REQUIREMENT.sub("headway[redis]", text)
    if path.name == "pyproject.toml":
        text = _DEPENDENCY.sub(lambda match: f"{match['quote']}headway[redis]{match['quote']}", text)
        return _POETRY.sub('headway = { version = "*", extras = ["redis"] }', text)
    return text


def is_requirements(name: str) -> bool:
    """Tell whether a file lists what a project needs."""
    path = PurePosixPath(name)
    return path.name == "pyproject.toml" or ("requirement" in path.name and path.suffix in {".txt", ".in"})


def needs_arq(name: str, text: str) -> bool:
    """Tell whether arq is in it."""
    return requirement(name, text) != text


def queue_of(worker: Worker) -> str:
    """Return the queue that a worker of arq served, as the command line names it."""
    given = worker.settings.get("queue_name")
    text = given.text.strip("\"'") if given is not None else ""
    return "default" if text in {"", "arq:queue"} else text


def _concurrency(worker: Worker, gap: str) -> list[str]:
    given = worker.settings.get("max_jobs")
    return [f"--concurrency{_equals(gap)}{given.text}"] if given is not None and given.text.isdigit() else []


def _equals(gap: str) -> str:
    return " " if gap.strip() == "" and "\n" not in gap else "="


def _worker(dotted: str, workers: list[Worker]) -> Worker | None:
    exact = [one for one in workers if one.name == dotted]
    ends = [one for one in workers if one.name.endswith(f".{dotted}") or dotted.endswith(f".{one.name}")]
    return next(iter([*exact, *ends]), None)


def _here(dotted: str, worker: Worker, home: Home) -> str:
    """Name the app from where the command is run, which may be another folder than ours."""
    if dotted == worker.name:
        return home.command
    if dotted.endswith(f".{worker.name}"):
        return f"{dotted.removesuffix(worker.name)}{home.command}"
    above = worker.name.removesuffix(dotted)
    return home.command.removeprefix(above)
