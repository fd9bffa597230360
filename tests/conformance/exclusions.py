"""The table of what the suite leaves out on which carrier, made from the cases' own marks.

`python -m tests.conformance.exclusions` writes it to docs/reference/conformance.md; a test fails when that is stale.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.brokers.base import BrokerSettings, Capabilities
from headway.brokers.url import from_url
from tests.conformance.needs import REASONS, has

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path(__file__).parent
PAGE: Final = FOLDER.parent.parent / "docs" / "reference" / "conformance.md"
URLS: Final = {
    "sqlite": "sqlite:///headway.db",
    "redis": "redis://localhost",
    "cloudtasks": "cloudtasks://project/location",
}
_HEAD: Final = """# What the carriers are held to

One suite of {total} cases runs on every carrier: on `sqlite://`, on `redis://` with one server and with a Cluster, and on
`cloudtasks://` against [the emulator](../how-to/emulator.md), with a guard. A case that needs what a carrier cannot do
says so with a mark, and is left out there; this page is made from those marks. Nothing else is left out.

On `cloudtasks://` a claim of the suite lets the emulator dispatch what is due and hands each call to the receiving half
of the carrier; an outcome goes back as the answer of that call.
"""


class Case(NamedTuple):
    """A case, or those of its parameters that need more than the others, and what it needs."""

    module: str
    name: str
    parameter: str
    needs: frozenset[str]

    @property
    def title(self) -> str:
        """As the table shows it."""
        shown = self.name.removeprefix("test_").replace("_", " ")
        return f"{shown} [{self.parameter}]" if self.parameter else shown


def capabilities() -> dict[str, Capabilities]:
    """Return what each carrier says it can do."""
    settings = BrokerSettings(namespace="suite")
    return {name: from_url(url, settings).capabilities for name, url in URLS.items()}


def cases() -> list[Case]:
    """Return all cases of the suite, in the order of the files."""
    return [case for path in sorted(FOLDER.glob("test_*.py")) for case in _cases_of(path)]


def page() -> str:
    """Return the text of the page."""
    found = cases()
    lines = [_HEAD.format(total=len({(case.module, case.name) for case in found}))]
    for carrier, able in capabilities().items():
        excluded = [(need, case) for case in found for need in sorted(case.needs) if not has(able, need)]
        lines.append(f"## {carrier}\n")
        if not excluded:
            lines.append("Every case.\n")
            continue
        number = len({(case.module, case.name, case.parameter) for _, case in excluded})
        lines.append(f"Left out: {number}, by what they need.\n")
        lines += ["| needs | why it is not there | cases |", "|---|---|---|"]
        for need in dict.fromkeys(REASONS):
            count = sum(1 for other, _ in excluded if other == need)
            if count:
                lines.append(f"| `{need}` | {REASONS[need]} | {count} |")
        lines += ["", "| case | file | needs |", "|---|---|---|"]
        needs_of: dict[Case, list[str]] = {}
        for need, case in excluded:
            needs_of.setdefault(case, []).append(f"`{need}`")
        lines += [
            f"| {case.title} | {case.module} | {', '.join(needs)} |" for case, needs in needs_of.items()
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _cases_of(path: Path) -> Iterator[Case]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    common: set[str] = set()
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="pytestmark")], value=value):
                common |= _needs_in(value)
            case ast.AsyncFunctionDef(name=name) | ast.FunctionDef(name=name) if name.startswith("test_"):
                yield from _cases_in(path.stem, node, frozenset(common))
            case _:
                pass


def _cases_in(
    module: str, function: ast.AsyncFunctionDef | ast.FunctionDef, common: frozenset[str]
) -> Iterator[Case]:
    own = set(common)
    for decorator in function.decorator_list:
        if _is_call_of(decorator, "needs"):
            own |= _needs_in(decorator)
    whole = Case(module, function.name, "", frozenset(own))
    yield whole
    for decorator in function.decorator_list:
        for node in ast.walk(decorator):
            if isinstance(node, ast.Call) and _is_call_of(node, "param"):
                more = frozenset(need for keyword in node.keywords for need in _needs_in(keyword.value))
                if more - whole.needs:
                    shown = ", ".join(ast.unparse(argument) for argument in node.args)
                    yield Case(module, function.name, shown, more - whole.needs)


def _needs_in(tree: ast.AST) -> set[str]:
    return {
        str(argument.value)
        for node in ast.walk(tree)
        if _is_call_of(node, "needs") and isinstance(node, ast.Call)
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }


def _is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
