"""The table of routes: versions, roll-back, its stored form, and differences in words."""

from __future__ import annotations

import msgspec
import pytest

from headway.errors import CodecError
from headway.routing.differences import differences
from headway.routing.routes import Route, route_of
from headway.routing.table import RouteTable
from headway.routing.tableformat import MAX_BYTES, decode_table, encode_table

REPORTS = route_of("reports", {"main": 90, "push": 10})
EMAIL = route_of("email", {"push": 100})
FIRST = RouteTable().changed({"reports": REPORTS, "email": EMAIL}, who="ann", when_ms=1000, why="try push")
SECOND = FIRST.changed(
    {"reports": REPORTS.changed({"main": 75, "push": 25})}, who="bob", when_ms=2000, why="more"
)


def test_each_change_is_the_next_version_and_says_who_when_and_why() -> None:
    assert (FIRST.version, FIRST.parent) == (1, 0)
    assert (SECOND.version, SECOND.parent, SECOND.who, SECOND.when_ms, SECOND.why) == (2, 1, "bob", 2000, "more")  # fmt: skip
    assert list(SECOND.routes) == ["email", "reports"]
    assert SECOND.routes["email"] is EMAIL
    without = SECOND.changed({"email": None}, who="", when_ms=3, why="")
    assert without.routes == {"reports": SECOND.routes["reports"]}


def test_a_roll_back_is_a_new_version_with_the_old_routes() -> None:
    back = SECOND.rolled_back(FIRST, who="guard", when_ms=3000, why="error rate")
    assert (back.version, back.parent, back.restores) == (3, 2, 1)
    assert back.routes == FIRST.routes
    assert differences(FIRST, back, "main") == []


@pytest.mark.parametrize("table", [RouteTable(), FIRST, SECOND, SECOND.rolled_back(FIRST, who="x", when_ms=3, why="ü\ud800")])  # fmt: skip
def test_a_table_comes_back_from_its_stored_form(table: RouteTable) -> None:
    assert decode_table(encode_table(table)) == table


def test_the_stored_form_is_json_that_people_can_read() -> None:
    assert msgspec.json.decode(encode_table(FIRST)) == {
        "format": 1, "version": 1, "parent": 0, "who": "ann", "when_ms": 1000, "why": "try push", "restores": 0,
        "routes": {"email": {"runs": [["push", 100]]}, "reports": {"runs": [["main", 90], ["push", 10]]}},
        "former": {}, "changes": {"email": 1, "reports": 1}, "drained": {}, "shadows": {},
    }  # fmt: skip


def changed_document(**fields: object) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(encode_table(FIRST)) | fields)


def test_what_a_later_headway_adds_is_passed_over() -> None:
    assert decode_table(changed_document(modes={"push": "drain"})) == FIRST


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "stored routes are damaged"),
        (b"[]", "stored routes are damaged"),
        (changed_document(format=2), "stored routes have format 2, this Headway knows 1: upgrade it"),
        (changed_document(parent=2), "stored routes are damaged: the version or the instant cannot be"),
        (changed_document(when_ms=-1), "stored routes are damaged: the version or the instant cannot be"),
        (changed_document(version="1"), "stored routes are damaged"),
        (changed_document(routes={"email": {"runs": [["push", 99]]}}), "stored routes are damaged: the runs of a route"),
        (b" " * (MAX_BYTES + 1), f"stored routes have {MAX_BYTES + 1} bytes, more than {MAX_BYTES}"),
    ],
)  # fmt: skip
def test_damage_is_an_error_of_its_own(data: bytes, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        decode_table(data)


def test_a_table_is_bounded() -> None:
    many = {f"q{n:0100}": route_of(f"q{n:0100}", {"main": 100}) for n in range(2000)}
    with pytest.raises(ValueError, match=r"the routes of 2000 queues have \d+ bytes, more than 262144: route fewer queues"):  # fmt: skip
        encode_table(RouteTable().changed(many, who="", when_ms=0, why=""))
    long = RouteTable().changed({}, who="w" * 1000, when_ms=0, why="y" * 5000)
    assert (len(long.who), len(long.why)) == (200, 1000)


def test_earlier_routes_are_kept_with_the_version_that_ended_them() -> None:
    default = Route("reports", (("main", 100),))
    first = RouteTable().changed(
        {"reports": REPORTS}, who="", when_ms=0, why="", unrouted=lambda queue: Route(queue, (("main", 100),))
    )
    assert (first.former, first.changes) == ({"reports": (default,)}, {"reports": 1})
    same = first.changed({"email": route_of("email", {"push": 100})}, who="", when_ms=0, why="")
    assert (same.former["reports"], same.changes) == ((default,), {"reports": 1, "email": 2})
    second = same.changed({"reports": route_of("reports", {"push": 100})}, who="", when_ms=0, why="")
    assert second.former["reports"] == (REPORTS, default)
    back = second.rolled_back(first, who="", when_ms=0, why="")
    assert back.former["reports"] == (route_of("reports", {"push": 100}), REPORTS, default)
    again = back.changed({"reports": None}, who="", when_ms=0, why="")
    assert again.former["reports"] == (REPORTS, route_of("reports", {"push": 100}), default)
    assert decode_table(encode_table(again)) == again


def test_differences_in_words() -> None:
    by_tenant = Route("reports", REPORTS.runs, "header:tenant")
    table = FIRST.changed({"reports": by_tenant, "email": None, "new": route_of("new", {"main": 100})}, who="", when_ms=0, why="")  # fmt: skip
    assert differences(FIRST, SECOND, "main") == [
        "reports: main 90 -> 75 %; push 10 -> 25 %; 15 % of its jobs change their carrier",
    ]
    assert differences(FIRST, table, "main") == [
        "email: main 0 -> 100 %; push 100 -> 0 %; has no route any more: all to main, the first carrier; 100 % of its jobs change their carrier",
        "new: has a route now",
        "reports: placed by header:tenant instead of key or id; up to 100 % of its jobs change their carrier",
    ]
    other = FIRST.changed({"reports": Route("reports", (("push", 10), ("main", 90)))}, who="", when_ms=0, why="")  # fmt: skip
    assert differences(FIRST, other, "main") == [
        "reports: the same weights on other places; 20 % of its jobs change their carrier"
    ]
