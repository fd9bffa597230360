"""Pickles read as data: nothing in them is run, imported or looked up, but what was named beforehand.

Not `pickle.Unpickler` with a careful `find_class`: what that lets through is called with whatever the pickle says, and
its memo and its byte arrays take as much memory as the pickle asks for. Here the operations of a pickle, a small stack
machine, are carried out on plain values by this module itself. Names stay names until they are called; the calls that
are known are those in `objects.CALLS`, each a function that checks its arguments, and those of classes that the caller
allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from headway.migrate.sources.arq.objects import (
    CALLS,
    KNOWN,
    MAX_DEPTH,
    MAX_SHOWN,
    MAX_VALUES,
    RECONSTRUCTORS,
    UNMADE,
    Budget,
    Made,
    Name,
    Opaque,
    PickleRefusedError,
    finished,
    key_of,
    of,
    put_pairs,
    revived,
)
from headway.migrate.sources.arq.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from headway.migrate.sources.arq.operations import Reader

    _Step: TypeAlias = "Callable[[_Machine, object], None]"

MAX_OPERATIONS: Final = 200_000
_MARK: Final = object()


def loads(data: bytes, classes: Mapping[tuple[str, str], type] | None = None, *, opaque: bool = False) -> Any:  # noqa: ANN401 - any plain value
    """Read a pickle of at most MAX_OPERATIONS; PickleRefusedError says why it is not read.

    `classes` are further ones that may be made, by module and qualified name: their code runs. `opaque`: what is not
    allowed becomes an `Opaque` instead; nothing of it runs either.
    """
    machine = _Machine(classes or {}, opaque=opaque)
    try:
        value = machine.run(data)
        return finished(value, Budget(MAX_VALUES))
    except PickleRefusedError:
        raise
    except RecursionError:
        msg = f"it is nested more than {MAX_DEPTH} deep"
        raise PickleRefusedError(msg) from None
    except Exception as error:  # noqa: BLE001 - hostile input: whatever is wrong with it
        msg = f"it is damaged: {type(error).__name__}: {str(error)[:MAX_SHOWN]}"
        raise PickleRefusedError(msg) from None


class _Machine:
    """The stack, the memo, and what each operation does to them."""

    def __init__(self, classes: Mapping[tuple[str, str], type], *, opaque: bool) -> None:
        self._classes = classes
        self._opaque = opaque
        self._budget = Budget(MAX_VALUES, opaque=opaque)  # of all calls together
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:  # noqa: ANN401 - any plain value
        stack, memo = self._stack, self._memo
        at, end = 0, len(data)
        for count in range(1, MAX_OPERATIONS + 1):
            if at >= end:
                msg = "it has no end"
                raise PickleRefusedError(msg)
            code = data[at]
            at += 1
            read, step = _READ.get(code, _UNKNOWN)
            arg = None
            if read is not None:
                arg, at = read(data, at)
            if step is None:
                stack.append(arg)
            elif code in _PUT_CODES:
                # A memo is filled in order; one that jumps ahead wants memory.
                place = len(memo) if arg is None else arg
                if not 0 <= place <= count:
                    msg = f"its memo jumps to {place}"
                    raise PickleRefusedError(msg)
                memo[place] = stack[-1]
            elif code == _STOP:
                (value,) = stack
                return value
            else:
                step(self, arg)
        msg = f"it has more than {MAX_OPERATIONS:,} operations"
        raise PickleRefusedError(msg)

    # --- operations ---------------------------------------------------------------------------------------------

    def frame(self, _: object) -> None:
        """PROTO and FRAME: nothing that matters here."""

    def get(self, arg: object) -> None:
        self._stack.append(self._memo[cast("int", arg)])

    def mark(self, _: object) -> None:
        self._stack.append(_MARK)

    def pop(self, _: object) -> None:
        self._stack.pop()

    def pop_mark(self, _: object) -> None:
        self._marked()

    def dup(self, _: object) -> None:
        self._stack.append(self._stack[-1])

    def push_none(self, _: object) -> None:
        self._stack.append(None)

    def push_true(self, _: object) -> None:
        self._stack.append(True)

    def push_false(self, _: object) -> None:
        self._stack.append(False)

    def push_list(self, _: object) -> None:
        self._stack.append([])

    def push_dict(self, _: object) -> None:
        self._stack.append({})

    def push_set(self, _: object) -> None:
        self._stack.append(set[Any]())

    def push_tuple(self, _: object) -> None:
        self._stack.append(())

    def make_list(self, _: object) -> None:
        self._stack.append(self._marked())

    def make_tuple(self, _: object) -> None:
        self._stack.append(tuple(self._marked()))

    def make_frozenset(self, _: object) -> None:
        self._stack.append(frozenset(map(key_of, self._marked())))

    def make_dict(self, _: object) -> None:
        self._stack.append(put_pairs({}, self._marked()))

    def tuple_1(self, _: object) -> None:
        self._stack[-1:] = [tuple(self._stack[-1:])]

    def tuple_2(self, _: object) -> None:
        first, second = self._stack[-2:]
        self._stack[-2:] = [(first, second)]

    def tuple_3(self, _: object) -> None:
        first, second, third = self._stack[-3:]
        self._stack[-3:] = [(first, second, third)]

    def append(self, _: object) -> None:
        value = self._stack.pop()
        of(list, self._stack[-1]).append(value)

    def appends(self, _: object) -> None:
        values = self._marked()
        of(list, self._stack[-1]).extend(values)

    def set_item(self, _: object) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        put_pairs(of(dict, self._stack[-1]), [key, value])

    def set_items(self, _: object) -> None:
        values = self._marked()
        put_pairs(of(dict, self._stack[-1]), values)

    def add_items(self, _: object) -> None:
        values = self._marked()
        of(set, self._stack[-1]).update(map(key_of, values))

    def name(self, arg: object) -> None:
        module, _, name = str(arg).partition(" ")
        self._stack.append(self._named(module, name))

    def stack_name(self, _: object) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(self._named(of(str, module), of(str, name)))

    def reduce(self, _: object) -> None:
        args, name = of(tuple, self._stack.pop()), of(Name, self._stack.pop())
        self._stack.append(self._called(name, args))

    def new_object(self, _: object) -> None:
        args, name = of(tuple, self._stack.pop()), of(Name, self._stack.pop())
        self._stack.append(Made(name, args))

    def build(self, _: object) -> None:
        state, made = self._stack.pop(), self._stack[-1]
        if not isinstance(made, Made) or made.value is not UNMADE:
            msg = "it sets the state of something that is no new object"
            raise PickleRefusedError(msg)
        made.value = self._made(made, finished(state, self._budget))

    def _marked(self) -> list[Any]:
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise IndexError
        values = self._stack[at + 1 :]
        del self._stack[at:]
        return values

    # --- names --------------------------------------------------------------------------------------------------

    def _named(self, module: str, name: str) -> Name:
        found = Name(module, name)
        if (module, name) not in KNOWN and (module, name) not in self._classes and not self._opaque:
            shown = str(found)[:MAX_SHOWN]
            msg = f"it names {shown!r}, which is not allowed (--allow-class allows a class of yours)"
            raise PickleRefusedError(msg)
        return found

    def _called(self, name: Name, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - what it makes
        if (name.module, name.name) in RECONSTRUCTORS:
            return Made(of(Name, args[0]), ())
        args = finished(args, self._budget)
        own = self._classes.get((name.module, name.name))
        if own is not None:
            return own(*args)
        call = CALLS.get((name.module, name.name))
        if call is not None:
            return call(*args)
        if self._opaque:
            return Opaque(str(name), args)
        msg = f"it calls {str(name)[:MAX_SHOWN]!r}"
        raise PickleRefusedError(msg)

    def _made(self, made: Made, state: Any) -> Any:  # noqa: ANN401 - what it makes
        name = made.name
        if (name.module, name.name) == ("uuid", "UUID"):
            return UUID(int=of(int, of(dict, state)["int"]))
        own = self._classes.get((name.module, name.name))
        if own is None:
            if self._opaque:
                return Opaque(str(name), made.args)
            msg = f"it makes a {str(name)[:MAX_SHOWN]!r}"
            raise PickleRefusedError(msg)
        return revived(own, finished(made.args, self._budget), state)


_LITERALS: Final = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
        *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
_PUTS: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS: Final = frozenset({"GET", "BINGET", "LONG_BINGET"})
_STEPS: Final[dict[str, _Step]] = {
    "PROTO": _Machine.frame,
    "FRAME": _Machine.frame,
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.dup,
    "NONE": _Machine.push_none,
    "NEWTRUE": _Machine.push_true,
    "NEWFALSE": _Machine.push_false,
    "EMPTY_LIST": _Machine.push_list,
    "EMPTY_DICT": _Machine.push_dict,
    "EMPTY_SET": _Machine.push_set,
    "EMPTY_TUPLE": _Machine.push_tuple,
    "LIST": _Machine.make_list,
    "TUPLE": _Machine.make_tuple,
    "DICT": _Machine.make_dict,
    "FROZENSET": _Machine.make_frozenset,
    "TUPLE1": _Machine.tuple_1,
    "TUPLE2": _Machine.tuple_2,
    "TUPLE3": _Machine.tuple_3,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "ADDITEMS": _Machine.add_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new_object,
    "BUILD": _Machine.build,
}


def _step_of(name: str) -> _Step | None:
    """Return what an operation does; None: it pushes its argument."""
    if name in _LITERALS:
        return None

    def refuse(_: _Machine, arg: object) -> None:
        del arg
        msg = f"it uses the operation {name}, which plain data does not need"
        raise PickleRefusedError(msg)

    return _Machine.get if name in _GETS else _STEPS.get(name, refuse)


def _unknown(_: _Machine, arg: object) -> None:
    del arg
    msg = "it uses an operation that there is not"
    raise PickleRefusedError(msg)


_READ: Final = {code: (read, _step_of(name)) for code, (name, read) in OPERATIONS.items()}
_PUT_CODES: Final = frozenset(code for code, (name, _) in OPERATIONS.items() if name in _PUTS)
_UNKNOWN: Final[tuple[Reader | None, _Step]] = (None, _unknown)
_STOP: Final = ord(".")
