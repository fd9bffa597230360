"""Write docs/reference/cli.md from the commands themselves: `python -m tools.cli_reference`.

A test compares the page with what this would write.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from headway.cli.root import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"

_HEAD: Final = """\
# Command line

<!-- Written from the commands' own help: change that, then run `python -m tools.cli_reference`. -->

`headway` runs workers, enqueues, looks at jobs and queues, and checks what carries them. Each command has `--help`.

**Exit codes.** One rule for all commands:

- **0**: done.
- **1**: not done, or not for all that was named; what could be done is done. A carrier cannot be reached; a job failed
  under `--wait`; a job, queue, schedule or task is not there; a question was not answered with yes; a result could not
  be written.
- **2**: wrong input or configuration, such as an unknown option, a text that is no id, an app that cannot be imported.
  The same again never helps.
- **3**: only `gcp plan`: changes are pending.
- **130**: ended by Ctrl-C.

With 1 and 2, stderr says in one line, which begins with `headway:`, what happened.

**Output.** Results go to stdout, everything else to stderr. With `--json` stdout has one JSON document, or, where a
command goes on (`worker`, `dev`, `jobs watch`, `top --every`), one on each line. Instants are ISO 8601 in UTC. Colours
appear on a terminal only, and never when `NO_COLOR` is set. Tables are cut to the terminal's width, and are whole in a
pipe. Where stdout is closed, results go nowhere; where it is full, or its reader has gone, a command ends with 1,
though a worker goes on and drains. What the encoding of the terminal has not is escaped.

**Whose jobs.** `--app module:name`, or the variable `HEADWAY_APP`, imports an app and takes its carrier. Commands that
need the app's code (`worker`, `dev`, `push`, `enqueue`, `gcp`) also take it as their first argument. `--url` with
`--namespace` (the app's name) needs no code: for operators, and for machines where the app is not installed.

**Durations** are seconds, or `500ms`, `15s`, `2m`, `24h`, `7d`. A `HEADWAY_*` variable that is empty counts as not set.
"""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    for path, command in _commands(cli, ("headway",)):
        parts.append(f"{'#' * min(2 + len(path) - 2, 3)} `{' '.join(path)}`\n")
        parts.append(_describe(path, command))
    return "\n".join(parts)


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(group.commands.items()):
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


def _describe(path: tuple[str, ...], command: click.Command) -> str:
    text = [inspect.cleandoc(command.help or ""), ""]
    if not isinstance(command, click.Group):
        ctx = click.Context(command, info_name=" ".join(path))
        text += [f"```text\n{command.get_usage(ctx).removeprefix('Usage: ')}\n```", ""]
        rows = [
            _option(parameter, ctx) for parameter in command.params if isinstance(parameter, click.Option)
        ]
        text += ["| option | meaning |", "|---|---|", *rows, ""]
    examples = [line.strip() for line in (command.epilog or "").splitlines()[2:]]
    text += ["```sh", *examples, "```", ""]
    return "\n".join(text)


def _option(option: click.Option, ctx: click.Context) -> str:
    record = option.get_help_record(ctx)
    if record is None:
        msg = f"option {option.name!r} is hidden: say why, and how it is documented"
        raise ValueError(msg)
    names, meaning = (" ".join(part.split()).replace("|", "\\|") for part in record)
    return f"| `{names}` | {meaning.replace('<', '&lt;')} |"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
