"""The import contract: what it finds must be what `make check` promises."""

from __future__ import annotations

import grimp
import pytest

from tools.import_parts import Part, PartsContract, part_of

PARTS = [
    "shop: ",
    "shop.app: shop",
    "shop.drivers.base: shop",
    "shop.drivers.*: shop, shop.drivers.base",
    "shop.cli: *",
]


def _broken(*imports: tuple[str, str], ignored: str | None = None) -> list[str]:
    graph = grimp.ImportGraph()
    for importer, imported in imports:
        graph.add_module(importer)
        graph.add_module(imported)
        graph.add_import(importer=importer, imported=imported, line_number=7, line_contents="import")
    options = {"root": "shop", "parts": PARTS, "ignore_imports": [ignored] if ignored else []}
    contract = PartsContract("test", session_options={"root_packages": ["shop"]}, contract_options=options)
    check = contract.check(graph, verbose=False)
    assert check.kept == (not check.metadata["broken"])
    return list(check.metadata["broken"])


@pytest.mark.parametrize(
    ("module", "part"),
    [
        ("shop", "shop"),
        ("shop.job", "shop"),
        ("shop.app", "shop.app"),
        ("shop.drivers.base", "shop.drivers.base"),
        ("shop.drivers.redis", "shop.drivers.redis"),
        ("shop.drivers.redis.keys", "shop.drivers.redis"),
        ("shop.cli.commands.worker", "shop.cli"),
        ("shop.unknown.module", None),
    ],
)
def test_the_most_specific_part_counts(module: str, part: str | None) -> None:
    found = part_of(module, [Part.parse(line) for line in PARTS], "shop")
    assert (found and found[0]) == part


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("shop.job", "shop.errors"),
        ("shop.app", "shop.job"),
        ("shop.drivers.redis.keys", "shop.drivers.redis.broker"),
        ("shop.drivers.redis.keys", "shop.drivers.base"),
        ("shop.cli.worker", "shop.drivers.redis.keys"),
        ("shop.job", "msgspec"),
    ],
)
def test_what_is_listed_is_allowed(importer: str, imported: str) -> None:
    assert _broken((importer, imported)) == []


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("shop.job", "shop.app"),
        ("shop.job", "shop.drivers.base"),
        ("shop.drivers.base", "shop.drivers.redis"),
        ("shop.drivers.sqlite", "shop.drivers.redis.keys"),
        ("shop.drivers.redis", "shop.cli.worker"),
    ],
)
def test_what_is_not_listed_is_refused(importer: str, imported: str) -> None:
    assert _broken((importer, imported)) == [f"{importer} must not import {imported} (line 7)"]


def test_an_exception_holds_for_one_import() -> None:
    exception = "shop.job -> shop.drivers.base"
    assert _broken(("shop.job", "shop.drivers.base"), ignored=exception) == []
    assert len(_broken(("shop.errors", "shop.drivers.base"), ignored=exception)) == 1


def test_a_new_package_needs_a_part() -> None:
    assert _broken(("shop.cloud.tasks", "shop.job")) == ["shop.cloud.tasks belongs to no part"]


def test_a_part_needs_its_colon() -> None:
    with pytest.raises(ValueError, match=r"'shop\.app'"):
        Part.parse("shop.app")
