"""Where offloaded payloads lie: a folder, or what fsspec reaches. Every call blocks; see `offload.py`."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from urllib.parse import unquote

from headway.errors import ConfigError
from headway.text import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

_KNOWN: Final = "a folder, file:///folder, gs://bucket/folder, s3://bucket/folder or another scheme of fsspec"


class BlobStore(Protocol):
    """Bytes under names such as `shop/2030-01-31/x.call`, whose parts hold nothing but letters, digits, `.`, `-`, `_`.

    Raises OSError, and whatever else the client of a store raises; FileNotFoundError when there is no such blob.
    """

    def write(self, name: str, data: bytes) -> None:
        """Store durably, over what is there: a reader meanwhile sees the old bytes or the new ones, whole."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """Return the first `limit` bytes."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return the names right below the folder, without it; of a folder that does not exist, none."""
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Remove these blobs; one that is not there is no error."""
        ...


class Folder:
    """A folder of this machine, or of a network file system that all hosts mount in the same place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, name: str, data: bytes) -> None:
        """See BlobStore."""
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own beside it: a crash leaves a stray file, never half a blob.
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with fresh.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise
        for folder in (path.parent, path.parent.parent):
            _sync_folder(folder)

    def read(self, name: str, limit: int) -> bytes:
        """See BlobStore."""
        with (self._path / name).open("rb") as file:
            return file.read(limit)

    def names(self, folder: str) -> list[str]:
        """See BlobStore."""
        try:
            return sorted(entry.name for entry in (self._path / folder).iterdir())
        except FileNotFoundError:
            return []

    def remove(self, names: Sequence[str]) -> None:
        """See BlobStore. A folder that this leaves empty goes as well."""
        for name in names:
            (self._path / name).unlink(missing_ok=True)
        for folder in {(self._path / name).parent for name in names}:
            with suppress(OSError):  # not empty
                folder.rmdir()


class _FileSystem(Protocol):
    """What is used of fsspec's AbstractFileSystem."""

    def pipe_file(self, path: str, value: bytes) -> object: ...
    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes: ...
    def ls(self, path: str, *, detail: bool) -> list[str]: ...
    def exists(self, path: str) -> bool: ...
    def rm_file(self, path: str) -> object: ...
    def makedirs(self, path: str, exist_ok: bool = False) -> None: ...  # noqa: FBT001, FBT002 - fsspec's signature
    def invalidate_cache(self, path: str | None = None) -> None: ...


class Bucket:
    """A bucket, or anything else that fsspec has a scheme for."""

    def __init__(self, system: _FileSystem, root: str) -> None:
        self._system = system
        self._root = root.rstrip("/")

    def write(self, name: str, data: bytes) -> None:
        """See BlobStore."""
        path = self._at(name)
        try:
            self._system.pipe_file(path, data)
        except FileNotFoundError as error:
            if not self._system.exists(self._root):
                # A client may well create the bucket when it is asked for a folder: that is for people to decide.
                msg = f"there is no {self._root}: create it"
                raise NotADirectoryError(msg) from error
            # A file system with folders of its own, such as sftp: buckets have none.
            self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._system.pipe_file(path, data)

    def read(self, name: str, limit: int) -> bytes:
        """See BlobStore."""
        return self._system.cat_file(self._at(name), start=0, end=limit)

    def names(self, folder: str) -> list[str]:
        """See BlobStore."""
        self._system.invalidate_cache()
        try:
            found = self._system.ls(self._at(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def remove(self, names: Sequence[str]) -> None:
        """See BlobStore."""
        for name in names:
            with suppress(FileNotFoundError):
                self._system.rm_file(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"


def open_store(url: str) -> BlobStore:
    """Return the store that the setting `offload` names; ConfigError when it names none that can be had here."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return Folder(Path(url).absolute())
    if scheme == "file":
        if not rest.startswith("/"):
            msg = f"offload = {redact(url)!r}: a file URL has three slashes and the whole path: file:///var/lib/shop"
            raise ConfigError(msg)
        return Folder(Path(unquote(rest)))
    try:
        fsspec: Any = import_module("fsspec")
    except ImportError as error:
        msg = f"offload to {redact(url)} needs the package fsspec: pip install 'headway[offload]'"
        raise ConfigError(msg) from error
    try:
        system, root = fsspec.url_to_fs(url)
    except ImportError as error:
        # Its text says which package serves the scheme, such as gcsfs or s3fs.
        msg = f"offload: {error}; {_KNOWN} can be named"
        raise ConfigError(msg) from error
    except ValueError:
        # What it says may repeat a part of the URL.
        msg = f"offload: there is no store of this kind; {_KNOWN} can be named"
        raise ConfigError(msg) from None
    return Bucket(cast("_FileSystem", system), root)


def _sync_folder(folder: Path) -> None:
    """Make a new name survive a power cut, where the system lets a folder be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
