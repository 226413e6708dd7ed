"""System shared memory that callers on this machine registered, a tenant each its own.

A region is read and written through its file, never mapped: a file that its owner
makes shorter would kill a server that has it mapped, and values that change under
way would be checked once and run as others. One copy is what gRPC's way costs too.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from icecore.server.errors import RegionExists, RegionInvalid, RegionNotFound
from icecore.server.rpc import arguments

MAX_REGIONS: Final = 64
"""Of one tenant; each holds a file open."""

MAX_NAME_LENGTH: Final = 256

_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - where shm_open has its files on Linux
_KEY: Final = re.compile(r"/?[^/\0]{1,255}")
_SEMAPHORE: Final = "sem."
"""glibc's named semaphores lie in the same folder."""


@dataclass(frozen=True, slots=True)
class Region:
    """`file` is open for reading and writing; `identity` is the file's own."""

    name: str
    key: str
    offset: int
    byte_size: int
    file: int
    identity: tuple[int, int]


class Regions:
    """All regions of all tenants. Lives on one event loop."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._folder = folder
        self._regions: dict[str, dict[str, Region]] = {}

    def register(self, tenant_id: str, name: str, key: str, *, offset: int, byte_size: int) -> None:
        """Open a shared memory object, whose name in shm_open's sense is `key`.

        Raises:
            NameInvalid: a name that is empty, too long or unprintable.
            RegionInvalid: a key that cannot be, no such object, one that is too small or
                another tenant's, or too many regions.
            RegionExists: the tenant has one of that name.
        """
        arguments.free_text("region's name", name, max_length=MAX_NAME_LENGTH)
        own = self._regions.setdefault(tenant_id, {})
        if name in own:
            raise RegionExists(f"region {name!r} is registered already: unregister it first")
        if len(own) >= MAX_REGIONS:
            raise RegionInvalid(
                f"there are {len(own)} regions, which are the most: unregister some"
            )
        file = self._open(key)
        try:
            identity = self._checked(tenant_id, file, key, offset=offset, byte_size=byte_size)
        except BaseException:
            os.close(file)
            raise
        own[name] = Region(name, key, offset, byte_size, file, identity)

    def unregister(self, tenant_id: str, name: str) -> None:
        """Close a region; "" is all of the tenant. One that is not there is no error."""
        own = self._regions.get(tenant_id, {})
        for one in [name] if name else list(own):
            region = own.pop(one, None)
            if region is not None:
                os.close(region.file)
        if not own:
            self._regions.pop(tenant_id, None)

    def listed(self, tenant_id: str, name: str) -> list[Region]:
        """Return the tenant's region of a name, "": all. Raises RegionNotFound."""
        return (
            [self._find(tenant_id, name)]
            if name
            else list(self._regions.get(tenant_id, {}).values())
        )

    @contextmanager
    def stretch(
        self, tenant_id: str, name: str, *, offset: int, byte_size: int
    ) -> Iterator["Stretch"]:
        """Give a part of a region, which stays open while the context lasts.

        Args:
            offset: in bytes from the region's own beginning.
            byte_size: 0: up to its end.

        Raises:
            RegionNotFound: the tenant has none of that name.
            RegionInvalid: the part is not within it.
        """
        region = self._find(tenant_id, name)
        size = byte_size or region.byte_size - offset
        if size <= 0 or offset + size > region.byte_size:
            raise RegionInvalid(
                f"{size} bytes from {offset} on are not within region {name!r}, which has "
                f"{region.byte_size}"
            )
        file = os.dup(region.file)  # it may be unregistered meanwhile
        try:
            yield Stretch(name, file, region.offset + offset, size)
        finally:
            os.close(file)

    def close(self) -> None:
        """Close all. Idempotent."""
        for tenant_id in list(self._regions):
            self.unregister(tenant_id, "")

    def _find(self, tenant_id: str, name: str) -> Region:
        own = self._regions.get(tenant_id, {})
        if name not in own:
            raise RegionNotFound(f"region {name[:MAX_NAME_LENGTH]!r} is not registered")
        return own[name]

    def _open(self, key: str) -> int:
        name = key.removeprefix("/")
        if not _KEY.fullmatch(key) or name in (".", "..") or name.startswith(_SEMAPHORE):
            raise RegionInvalid(
                f"key {key[:80]!r} is no name of shared memory: one slash in front, none behind it"
            )
        try:  # for both, so that it does not wait where it is a pipe
            return os.open(self._folder / name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not a name"
            raise RegionInvalid(f"shared memory {key[:80]!r} cannot be opened: {why}") from error

    def _checked(
        self, tenant_id: str, file: int, key: str, *, offset: int, byte_size: int
    ) -> tuple[int, int]:
        """Return which file it is."""
        facts = os.fstat(file)
        identity = facts.st_dev, facts.st_ino
        if not stat.S_ISREG(facts.st_mode):
            raise RegionInvalid(f"{key[:80]!r} is no shared memory")
        if not byte_size or offset + byte_size > facts.st_size:
            raise RegionInvalid(
                f"{byte_size} bytes from {offset} on are not within shared memory {key[:80]!r}, "
                f"which has {facts.st_size}"
            )
        for other, regions in self._regions.items():
            if other != tenant_id and any(one.identity == identity for one in regions.values()):
                raise RegionInvalid(f"shared memory {key[:80]!r} is registered by another tenant")
        return identity


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some bytes of an open file."""

    region: str
    file: int
    offset: int
    byte_size: int

    def read(self) -> memoryview:
        """Return a copy of the bytes.

        Raises:
            RegionInvalid: the memory has become smaller.
        """
        values = bytearray(self.byte_size)
        n_read = os.preadv(self.file, [values], self.offset)
        if n_read != self.byte_size:
            raise RegionInvalid(
                f"region {self.region!r} has {n_read} bytes left of {self.byte_size}: its shared "
                "memory has become smaller"
            )
        return memoryview(values)

    def write(self, values: bytes | memoryview) -> None:
        """Put the values at the beginning.

        Raises:
            RegionInvalid: they are more than fit, or the memory has become smaller.
        """
        if len(values) > self.byte_size:
            raise RegionInvalid(
                f"the output has {len(values)} bytes, but {self.byte_size} are given to it in "
                f"region {self.region!r}"
            )
        # Writing behind its end would make it longer.
        if os.fstat(self.file).st_size < self.offset + len(values):
            raise RegionInvalid(
                f"region {self.region!r} is too small now: its shared memory has become smaller"
            )
        try:
            left, place = memoryview(values), self.offset
            while left:  # at most 2 GiB go at once, and less where there is no page for more
                n_written = os.pwrite(self.file, left, place)
                left, place = left[n_written:], place + n_written
        except OSError as error:  # no page left for what was never written before
            raise RegionInvalid(
                f"region {self.region!r} cannot be written: {error.strerror}"
            ) from error
