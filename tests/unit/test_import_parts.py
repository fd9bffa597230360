"""The import contract: what it finds must be what `make check` promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grimp
import pytest

from tools.import_parts import Part, PartsContract, part_of

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS = [
    "shop: ",
    "shop.app: shop",
    "shop.drivers.base: shop",
    "shop.drivers.*: shop, shop.drivers.base",
    "shop.cli: *",
]


def _broken(*imports: tuple[str, str], parts: Sequence[str] | None = None) -> list[str]:
    graph = grimp.ImportGraph()
    for importer, imported in imports:
        graph.add_module(importer)
        graph.add_module(imported)
        graph.add_import(importer=importer, imported=imported, line_number=7, line_contents="import")
    for part in PARTS if parts is None else ():
        graph.add_module(part.partition(":")[0].replace("*", "sqlite"))
    options = {"root": "shop", "parts": PARTS if parts is None else list(parts)}
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


def test_a_new_package_needs_a_part() -> None:
    assert _broken(("shop.cloud.tasks", "shop.job")) == ["shop.cloud.tasks belongs to no part"]


def test_a_part_without_modules_is_named() -> None:
    parts = ["shop: ", "shop.app: shop", "shop.server: shop"]
    assert _broken(("shop.app", "shop.job"), parts=parts) == ["part shop.server has no modules"]


def test_what_the_root_shows_may_be_a_part_of_its_own() -> None:
    parts = ["shop: ", "shop.__init__: shop, shop.app", "shop.app: shop"]
    assert _broken(("shop.app", "shop.job"), ("shop", "shop.app"), parts=parts) == []
    assert _broken(("shop.job", "shop.app"), ("shop", "shop.app"), parts=parts) == [
        "shop.job must not import shop.app (line 7)"
    ]


def test_a_part_needs_its_colon() -> None:
    with pytest.raises(ValueError, match=r"'shop\.app'"):
        Part.parse("shop.app")
