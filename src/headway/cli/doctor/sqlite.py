"""The checks of a SQLite file: pure functions of what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headway.cli.doctor.finding import Finding, error, ok, size, warn

if TYPE_CHECKING:
    from collections.abc import Callable

_OLDEST: Final = (3, 35, 0)
_LITTLE_DISK: Final = 512 * 1024 * 1024
_LARGE_LOG: Final = (
    256 * 1024 * 1024
)  # of the write-ahead log: somebody keeps it from being moved into the file
_NETWORK: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "afs",
        "glusterfs",
        "ceph",
    }
)


@dataclass(frozen=True, slots=True)
class SqliteFacts:
    """What was seen of a file. Sizes are bytes; None: could not be found out."""

    name: str = "sqlite:///headway.db"
    library: tuple[int, int, int] = (3, 45, 0)
    exists: bool = True
    writable: bool = True  # the file and its folder
    opened: bool = True
    open_error: str = ""
    journal_mode: str = "wal"
    damage: tuple[str, ...] = ()  # what quick_check said, at most a few lines
    checked_whole: bool = True  # false: quick_check was ended, the file is large
    synchronous: str = "NORMAL"
    file_bytes: int = 0
    log_bytes: int = 0
    free_bytes: int | None = None
    file_system: str | None = None
    holders: tuple[int, ...] = ()  # processes that have a file of this name open which is not there any more
    leftover: bool = False  # the log of a file that is not there
    odd: tuple[str, ...] = ()  # columns that hold values of a wrong type, with their numbers


def check_library(facts: SqliteFacts) -> Finding:
    """`UPDATE ... RETURNING` came with 3.35."""
    shown = "SQLite " + ".".join(map(str, facts.library))
    if facts.library < _OLDEST:
        return error("version", f"{shown} is too old", "use a Python that is built with SQLite 3.35 or later")
    return ok("version", shown)


def check_file(facts: SqliteFacts) -> Finding:
    """The file can be read and written."""
    if facts.open_error:
        return error(
            "file",
            f"{facts.name}: {facts.open_error}",
            "name another file, or restore this one from a backup",
        )
    if not facts.writable:
        return error(
            "file",
            f"{facts.name}: the file or its folder cannot be written",
            "give this user write permission to both: SQLite keeps its log beside the file",
        )
    if not facts.exists:
        return ok("file", f"{facts.name}: not there yet, made at the first use")
    return ok("file", f"{facts.name}: {size(facts.file_bytes)}")


def check_identity(facts: SqliteFacts) -> Finding:
    """A process goes on with the file that it opened, also when that was deleted or replaced."""
    if facts.leftover:
        return error(
            "identity",
            f"{facts.name} is not there, but its log is: the file was removed or moved",
            "put the file back beside its log, with all processes stopped; else remove the log: its jobs are gone",
        )
    if facts.holders:
        pids = ", ".join(map(str, facts.holders))
        return warn(
            "identity",
            f"processes that have a file of this name open which was removed: {pids}",
            "they notice within a second while they run; restart those that are still named then",
        )
    return ok("identity", "no process is known to have another file of this name open")


def check_rows(facts: SqliteFacts) -> Finding:
    """Only another program writes values of a wrong type."""
    if facts.odd:
        return error(
            "rows",
            "values of a wrong type: " + "; ".join(facts.odd),
            "look for another program that writes to the file; maintenance puts such jobs into the dead-letter state",
        )
    return ok("rows", "all values have the types that Headway writes")


def check_journal(facts: SqliteFacts) -> Finding:
    """Without the write-ahead log readers and the writer block one another."""
    if not facts.opened or not facts.exists:
        return ok("journal-mode", "wal, once the file is made")
    if facts.journal_mode != "wal":
        return error(
            "journal-mode",
            f"{facts.journal_mode}, not wal",
            "open the file once with Headway, which switches it; on a network file system it cannot be switched",
        )
    if facts.log_bytes > _LARGE_LOG:
        return warn(
            "journal-mode",
            f"wal, but its log has {size(facts.log_bytes)}",
            "look for a reader that keeps a transaction open for long, such as a backup or a database browser",
        )
    return ok("journal-mode", "wal")


def check_integrity(facts: SqliteFacts) -> Finding:
    """A damaged file gives wrong answers before it gives errors."""
    if facts.damage:
        return error(
            "integrity",
            "; ".join(facts.damage),
            "stop the workers, keep a copy, and recover it with the sqlite3 command .recover, or restore a backup",
        )
    if not facts.checked_whole:
        return ok("integrity", "no damage found in the part that was checked in 5 s")
    return ok("integrity", "quick_check found no damage")


def check_synchronous(facts: SqliteFacts) -> Finding:
    """NORMAL survives the crash of any process; a power cut may lose the last commits."""
    if facts.synchronous.upper() == "FULL":
        return ok("synchronous", "full: each commit waits for the disk")
    return ok(
        "synchronous", "normal: a power cut may lose the last commits; ?synchronous=full closes that gap"
    )


def check_disk(facts: SqliteFacts) -> Finding:
    """A full disk refuses new jobs."""
    if facts.free_bytes is None:
        return ok("disk", "free space unknown")
    shown = f"{size(facts.free_bytes)} free"
    if facts.free_bytes < max(_LITTLE_DISK, facts.file_bytes // 10):
        return warn("disk", shown, "free some space: on a full disk jobs are refused")
    return ok("disk", shown)


def check_file_system(facts: SqliteFacts) -> Finding:
    """Locks and shared memory do not work over a network."""
    if facts.file_system is None:
        return ok("file-system", "unknown")
    if facts.file_system.lower() in _NETWORK:
        return warn(
            "file-system",
            f"{facts.file_system}: locks over a network are not safe, and the write-ahead log does not work there",
            "move the file to a local disk; for several machines use redis://",
        )
    return ok("file-system", facts.file_system)


SQLITE_CHECKS: Final[tuple[Callable[[SqliteFacts], Finding], ...]] = (
    check_library,
    check_file,
    check_identity,
    check_journal,
    check_integrity,
    check_rows,
    check_synchronous,
    check_disk,
    check_file_system,
)
