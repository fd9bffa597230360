"""Pickles of arq are read as data: what is plain comes through, whatever else is refused, and nothing runs."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import decimal
import enum
import os
import pickle
import pickletools
import struct
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.migrate.sources.arq.objects import Opaque, PickleRefusedError
from headway.migrate.sources.arq.pickles import MAX_OPERATIONS, loads

if TYPE_CHECKING:
    from collections.abc import Callable

_CANARY: Final = Path("/tmp") / f"headway-pickle-canary-{os.getpid()}"  # noqa: S108 - it must never be there
_CALL: Final = f"touch {_CANARY}"


class Colour(enum.Enum):
    """One of a user's own."""

    RED = "red"


@dataclass
class Address:
    """Another one."""

    street: str
    number: int


class _Runs:
    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._parts = function, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._parts


def _short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


_SYSTEM = _short("posix") + _short("system") + b"\x93"
_BUILD_CLASS = b"cdatetime\ndatetime\n"
CRAFTED: Final[dict[str, bytes]] = {
    "reduce of os.system": pickle.dumps(_Runs(os.system, _CALL)),
    "protocol 0": pickle.dumps(_Runs(os.system, _CALL), protocol=0),
    "nested in arguments": pickle.dumps({"f": "x", "a": ([{"k": (_Runs(os.system, _CALL),)}],), "k": {}}),
    "as a key": pickle.dumps({(1, 2): {"x": _Runs(eval, "1+1")}}),
    "builtins.eval": pickle.dumps(_Runs(eval, f"__import__('os').system({_CALL!r})")),
    "builtins.exec by name": b"cbuiltins\nexec\n(Vpass\ntR.",
    "builtins.getattr": pickle.dumps(_Runs(getattr, "", "join")),
    "a name built on the stack": b"\x80\x04" + _SYSTEM + _short(_CALL) + b"\x85R.",
    "inst": b"(S'" + _CALL.encode() + b"'\niposix\nsystem\n.",
    "obj": b"(cposix\nsystem\nV" + _CALL.encode() + b"\no.",
    "newobj of a class that is not named": pickle.dumps(collections.OrderedDict(a=1)),
    "newobj_ex": b"\x80\x04" + _short("posix") + _short("system") + b"\x93)}\x92.",
    "build on a class": _BUILD_CLASS + b"}Vyear\nI1\nsb.",
    "build on a list": b"]}Va\nI1\nsb.",
    "ext1": b"\x80\x02\x82\x01.",
    "ext4": b"\x80\x02\x84\x01\x00\x00\x00.",
    "persistent id": b"Pevil\n.",
    "binary persistent id": b"Vevil\nQ.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "copyreg of a user's class": b"ccopyreg\n_reconstructor\n(cposix\nsystem\ncbuiltins\nobject\nNtR.",
    "copyreg.__newobj__": b"ccopyreg\n__newobj__\n(cdatetime\ndate\ntR.",
    "copyreg extension": b"ccopyreg\nadd_extension\n(Vos\nVsystem\nI1\ntR.",
    "a function as an argument": b"\x80\x04]" + _SYSTEM + b"a.",
    "an allowed name as a value": b"cdatetime\ndatetime\n.",
    "an allowed name, dotted": b"cdatetime\ndatetime.now\n)R.",
    "calling what was made": b"cdatetime\ntimedelta\n(I1\ntR)R.",
    "codecs with another codec": b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
    "memo far ahead": b"Nr\xff\xff\xff\x7f.",
    "memo before the start": b"Np-1\n.",
    "bytearray of terabytes": b"\x80\x05\x96" + struct.pack("<Q", 1 << 42) + b"x.",
    "bytes of terabytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 42) + b"x.",
    "bytes by number": b"cbuiltins\nbytes\n(I99999999999\ntR.",
    "bytearray by number": b"cbuiltins\nbytearray\n(I99999999999\ntR.",
    "set of a range": b"cbuiltins\nset\n(cbuiltins\nrange\n(I999999999\ntRtR.",
    "list that holds itself": b"]q\x00h\x00a.",
    "dict that holds itself": b"}q\x00Va\nh\x00s.",
    "unhashable key": b"}](I1\neI1\ns.",
    "billion laughs": b"(lp0\n" + b"".join(b"(g%dg%dlp%d\n" % (n, n, n + 1) for n in range(60)) + b".",
    "one text a thousand times": b"\x80\x02(X"
    + struct.pack("<I", 60_000)
    + b"x" * 60_000
    + b"q\x00"
    + b"h\x00" * 1000
    + b"l.",
    "copies of a big text": b"\x80\x03(B"
    + struct.pack("<I", 60_000)
    + b"x" * 60_000
    + b"q\x00"
    + b"cbuiltins\nbytearray\nh\x00\x85R" * 1000
    + b"l.",
    "deep lists": b"(" * 5000 + b"l" * 5000 + b".",
    "too many operations": b"(" + b"N" * MAX_OPERATIONS + b"l.",
    "a number of a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "no end": b"N",
    "nothing": b"",
    "stack of two": b"NN.",
    "pop of nothing": b"0.",
    "a mark that is not there": b"Nt.",
    "an unknown operation": b"\xfe.",
    "not utf-8": b"\x80\x04\x8c\x02\xff\xff.",
}


@pytest.fixture(autouse=True)
def _nothing_ran() -> Any:
    yield
    assert not _CANARY.exists()


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_pickle_is_refused(name: str) -> None:
    with pytest.raises(PickleRefusedError):
        loads(CRAFTED[name])


@pytest.mark.parametrize("name", CRAFTED)
def test_what_is_only_shown_runs_nothing_either(name: str) -> None:
    with contextlib.suppress(PickleRefusedError):
        loads(CRAFTED[name], opaque=True)


def test_the_crafted_ones_are_no_straw_men() -> None:
    """Of those that the standard library would run, some at least do run there."""
    ran: list[str] = []
    for name in ("reduce of os.system", "protocol 0", "a name built on the stack", "inst", "obj"):
        pickle.loads(CRAFTED[name])  # noqa: S301 - that is the point
        if _CANARY.exists():
            ran.append(name)
            _CANARY.unlink()
    assert len(ran) >= 3, ran


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC))
    | st.dates()
    | st.times()
    | st.timedeltas(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.uuids() | st.integers(), inner, max_size=4)
        | st.sets(st.integers() | st.text(max_size=3) | st.uuids(), max_size=4)
        | st.frozensets(st.integers() | st.dates(), max_size=4)
        | st.binary(max_size=8).map(bytearray)
    ),
    max_leaves=12,
)


@given(_PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_come_through_as_they_are(value: Any, protocol: int) -> None:
    assert loads(pickle.dumps(value, protocol=protocol)) == value


@given(_PLAIN)
def test_and_as_an_optimised_pickle(value: Any) -> None:
    assert loads(pickletools.optimize(pickle.dumps(value))) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(PickleRefusedError):
        loads(data)


@given(_PLAIN, st.data())
def test_a_damaged_pickle_is_read_or_refused(value: Any, data: st.DataObject) -> None:
    whole = bytearray(pickle.dumps(value))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PickleRefusedError):
        loads(bytes(whole))


def test_a_value_used_twice_is_there_twice() -> None:
    shared = [1]
    found = loads(pickle.dumps([shared, shared]))
    assert found == [[1], [1]]
    assert found[0] is not found[1]  # each container is its own: nothing is shared, and no circle can be


def test_a_class_that_was_named_is_made() -> None:
    value = {"a": Address("Main St", 5), "c": Colour.RED, "l": [Address("x", 1)]}
    data = pickle.dumps(value)
    with pytest.raises(PickleRefusedError, match="Address"):
        loads(data)
    classes: dict[tuple[str, str], type] = {
        (one.__module__, one.__qualname__): one for one in (Address, Colour)
    }
    assert loads(data, classes) == value


def test_a_class_that_was_named_lets_no_other_in() -> None:
    classes = {(Address.__module__, Address.__qualname__): Address}
    with pytest.raises(PickleRefusedError, match="system"):
        loads(pickle.dumps(Address(_Runs(os.system, _CALL), 1)), classes)  # type: ignore[arg-type]


def test_what_a_result_holds_is_shown_and_not_made() -> None:
    found = loads(pickle.dumps({"r": ValueError("no", 3)}), opaque=True)
    assert found == {"r": Opaque("builtins.ValueError", ("no", 3))}


def test_uuids_and_decimals_of_old_protocols() -> None:
    value = [uuid.UUID(int=7), decimal.Decimal("1.50"), {uuid.UUID(int=8)}]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert loads(pickle.dumps(value, protocol=protocol)) == value
