"""Environment variables to the limits of uploads: how large, how many, how long."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipelines.errors import ConfigError

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3
_UNITS: Final = {"": 1, "B": 1, "K": KIB, "M": MIB, "G": GIB, "T": 1024**4}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """What one archive may hold. Sizes are bytes after unpacking.

    entries: files and folders together, also those that are passed over.
    file_bytes, total_bytes: of one file and of all; in the total each entry counts one block of the disk (4 KB) more.
    file_ratio, total_ratio: unpacked to packed; asked only of what is larger than ratio_from, since a small mask of
    one class is packed a thousandfold and harms nobody.
    part_bytes, path_bytes, depth: of a name in UTF-8, of a whole path, and of folders within each other.
    free_bytes: what must stay free on the disk.
    """

    entries: int = 200_000
    file_bytes: int = 4 * GIB
    total_bytes: int = 8 * GIB
    file_ratio: float = 500.0
    total_ratio: float = 250.0
    ratio_from: int = 64 * MIB
    part_bytes: int = 240
    path_bytes: int = 1000
    depth: int = 32
    free_bytes: int = GIB


@dataclass(frozen=True)
class Quota:
    """What uploads may take together. Sizes are bytes.

    upload_bytes: one file as it is sent. all_bytes: all uploads, as sent and unpacked. free_bytes: what must stay free
    on the disk. days: from the last use of an upload to its deletion. archive: of what one archive may hold.
    """

    upload_bytes: int = 2 * GIB
    all_bytes: int = 20 * GIB
    free_bytes: int = GIB
    days: float = 7.0
    archive: Limits = Limits()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Quota":
        """The limits as PIPELINES_UPLOAD_… set them, the defaults for the rest. Raises ConfigError on nonsense."""
        given = os.environ if environment is None else environment
        default = cls()
        free = _size(given, "PIPELINES_UPLOAD_FREE", default.free_bytes)
        total = _size(given, "PIPELINES_UPLOAD_UNPACKED", default.archive.total_bytes)
        archive = Limits(
            entries=int(_number(given, "PIPELINES_UPLOAD_FILES", default.archive.entries)),
            file_bytes=min(_size(given, "PIPELINES_UPLOAD_FILE", default.archive.file_bytes), total),
            total_bytes=total,
            free_bytes=free,
        )
        return cls(
            upload_bytes=_size(given, "PIPELINES_UPLOAD_LIMIT", default.upload_bytes),
            all_bytes=_size(given, "PIPELINES_UPLOAD_QUOTA", default.all_bytes),
            free_bytes=free,
            days=_number(given, "PIPELINES_UPLOAD_DAYS", default.days),
            archive=archive,
        )


def _size(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, "").strip()
    if not text:
        return default
    found = _SIZE.fullmatch(text)
    if not found:
        raise ConfigError(f"{name} is {text!r}; give a size such as 500MB or 2GB (1 GB is 1024 × 1024 × 1024 bytes)")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _number(given: Mapping[str, str], name: str, default: float) -> float:
    text = given.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name} is {text!r}; give a number above 0")
    return value


def size_text(count: float) -> str:
    """Bytes for a reader: 512 bytes, 1.5 MB, 2 GB; 1 MB is 1024 × 1024 bytes."""
    if count < KIB:
        return f"{count:.0f} byte{'s' if count != 1 else ''}"
    for unit in ("KB", "MB", "GB", "TB"):
        count /= KIB
        if count < 1000 or unit == "TB":
            break
    return f"{count:.1f}".removesuffix(".0") + f" {unit}"
