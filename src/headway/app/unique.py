"""Unique jobs: which jobs count as the same, and what happens to the second one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec
from msgspec import Struct

from headway.clock import Duration, duration_ms
from headway.codec import to_builtin
from headway.errors import DeclarationError, SerialisationError
from headway.job import UniqueLock, UniqueMode

if TYPE_CHECKING:
    import inspect
    from collections.abc import Mapping

By = Sequence[str] | str | Callable[..., str]

_KEY_BYTES: Final = 16  # 128 bits: no two argument lists of one task meet by chance
_encode = msgspec.msgpack.Encoder(order="deterministic", enc_hook=to_builtin).encode


class Unique(Struct, frozen=True):
    """At most one job for the same key.

    `mode` is what happens to a second job while the first holds the key:

    - `reject`: it is refused while the first waits or runs; enqueue returns the first one's handle, marked `duplicate`.
    - `throttle`: it is refused within `window` after the first one's enqueue, however far that is.
    - `debounce`: it replaces the first if that still waits. Use it with a delay: each new job starts the wait anew.
    - `keep_last`: as debounce, and while the first runs, the last of the later ones waits for its end.

    `by` says what the key is made of: None, all arguments; names of parameters; a fixed text; or a function of the
    arguments that returns a text. Keys of different tasks never meet.
    """

    mode: Literal["reject", "throttle", "debounce", "keep_last"] = "reject"
    by: By | None = None
    window: Duration | None = None

    def __post_init__(self) -> None:
        """Refuse a mode without what it needs."""
        if self.mode not in tuple(UniqueMode):
            msg = f"Unique: mode must be one of {', '.join(UniqueMode)}; got {self.mode!r}"
            raise DeclarationError(msg)
        if (self.mode == "throttle") != (self.window is not None):
            msg = "Unique: window (how long) belongs to mode 'throttle' and to no other"
            raise DeclarationError(msg)
        if self.window is not None:
            try:
                window_ms = duration_ms(self.window, "window")
            except (TypeError, ValueError) as error:
                msg = f"Unique: {error}"
                raise DeclarationError(msg) from error
            if window_ms <= 0:
                msg = f"Unique: window must be positive, got {self.window!r}"
                raise DeclarationError(msg)
        if not _can_make_a_key(self.by):
            msg = f"Unique: by must be None, names of parameters, a text or a function; got {self.by!r}"
            raise DeclarationError(msg)

    def lock(
        self, task: str, signature: inspect.Signature, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> UniqueLock:
        """Return the lock of a call; SerialisationError when the key cannot be made."""
        return UniqueLock(
            key=f"{task}:{self._key(task, signature, args, kwargs)}",
            mode=UniqueMode(self.mode),
            window_ms=0 if self.window is None else duration_ms(self.window),
        )

    def check(self, task: str, signature: inspect.Signature) -> None:
        """Refuse names in `by` that are no parameters of the task."""
        if self.by is None or isinstance(self.by, str) or callable(self.by):
            return
        for name in self.by:
            if name not in signature.parameters:
                msg = f"task {task!r}: Unique(by=...) names {name!r}, which is no parameter of it"
                raise DeclarationError(msg)

    def _key(
        self, task: str, signature: inspect.Signature, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> str:
        if isinstance(self.by, str):
            return self.by
        if self.by is not None and callable(self.by):
            text: Any = self.by(*args, **kwargs)
            if not isinstance(text, str) or not text:
                msg = f"task {task!r}: Unique(by=function) must return a text, got {text!r}"
                raise SerialisationError(msg)
            return text
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        names = bound.arguments if self.by is None else self.by
        try:
            encoded = _encode([bound.arguments[name] for name in names])
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            msg = f"task {task!r}: no unique key can be made of its arguments: {error}"
            raise SerialisationError(msg) from error
        import hashlib  # noqa: PLC0415 - OpenSSL costs 3 ms that `import headway` need not pay

        return hashlib.blake2b(encoded, digest_size=_KEY_BYTES).hexdigest()


def _can_make_a_key(by: object) -> bool:
    if isinstance(by, str):
        return bool(by)
    if isinstance(by, Sequence):
        names = cast("Sequence[object]", by)
        return bool(names) and all(isinstance(name, str) for name in names)
    return by is None or callable(by)
