"""What uploads may be: how large, how many, how long they stay, what they are called and which folders are open.

Sizes are bytes; the environment variables PIPELINES_UPLOAD_… and PIPELINES_DATA_ROOTS set them (docs/uploads.md).
"""

import math
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.errors import ConfigError, UploadError

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


# Names in an archive -------------------------------------------------------------------------------------------------

_DRIVE: Final = re.compile(r"[A-Za-z]:")
_RESERVED: Final = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])(\..*)?", re.IGNORECASE)
_TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BAD_CATEGORIES: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))
_JUNK_NAMES: Final = frozenset((".ds_store", "thumbs.db", "desktop.ini", ".directory"))
_SHOWN: Final = 80  # characters
SMALLER: Final = "Take out what is not needed, or split it into several uploads."
BOMB: Final = "Pack the data without its large empty parts, or pack it without compression."


def refusal(code: str, found: str, advice: str) -> UploadError:
    """The error that says what was found and what to do."""
    return UploadError(f"{code}: {found}. Nothing was stored. {advice}")


def too_many(most: int) -> UploadError:
    """The error for an archive of more members than that."""
    return refusal("ARCHIVE-COUNT", f"the archive holds more than {most:,} files and folders", SMALLER)


def too_large(limits: Limits) -> UploadError:
    """The error for an archive that unpacks to more than the total."""
    found = f"the archive unpacks to more than {size_text(limits.total_bytes)}"
    return refusal("ARCHIVE-TOTAL-SIZE", found, SMALLER)


def too_dense(limits: Limits) -> UploadError:
    """The error for an archive that unpacks to too many times its own size."""
    found = f"the archive unpacks to more than {limits.total_ratio:g} times its own size"
    return refusal("ARCHIVE-RATIO", found, BOMB)


def shown(name: str) -> str:
    """A name for a message: one line, what cannot be seen spelled out, the middle of a long one left out."""
    text = "".join(
        char if char.isprintable() and char not in _TURNING else char.encode("unicode_escape").decode() for char in name
    )
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}…{text[-_SHOWN // 2 :]}"


def parts_of(name: str, limits: Limits) -> tuple[str, ...]:
    """The parts of a member's path below the target; () for the target itself ("./").

    Raises UploadError for a path that leads out of the target, or a name no system should be asked to store.
    """
    if name.startswith("/"):
        raise _outside(name, "is an absolute path")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise _outside(name, "leads out of the archive's folder")
    if any(_DRIVE.match(part) for part in parts):
        raise _outside(name, "begins with a drive letter")
    for part in parts:
        fault = _fault(part, limits)
        if fault:
            raise refusal("ARCHIVE-NAME", f"{shown(name)} {fault}", "Rename it, pack again and upload.")
    length = len("/".join(parts).encode())
    if length > limits.path_bytes or len(parts) > limits.depth:
        found = f"{shown(name)} is {length} bytes long and {len(parts)} deep, at most {limits.path_bytes} and "
        raise refusal("ARCHIVE-NAME", f"{found}{limits.depth} are allowed", "Use shorter names and fewer folders.")
    return parts


def _outside(name: str, fault: str) -> UploadError:
    return refusal("ARCHIVE-PATH", f"{shown(name)} {fault}", "Pack the folder itself, so that all names begin in it.")


def _fault(part: str, limits: Limits) -> str | None:
    if any(unicodedata.category(char) in _BAD_CATEGORIES for char in part):
        return "holds control characters or is not UTF-8"
    if any(char in _TURNING for char in part):
        return "holds characters that turn the direction of writing"
    if "\\" in part:
        return "holds a backslash"
    if len(part.encode()) > limits.part_bytes:
        return f"is too long: one name may have {limits.part_bytes} bytes"
    if _RESERVED.fullmatch(part):
        return "is a name that Windows keeps for a device"
    if part[-1] in ". ":
        return "ends with a dot or a space, which Windows drops"
    return None


def is_junk(parts: tuple[str, ...]) -> bool:
    """Whether an operating system left it there: __MACOSX, .DS_Store, ._name, Thumbs.db, desktop.ini."""
    last = parts[-1].casefold()
    return "__MACOSX" in parts or last in _JUNK_NAMES or last.startswith("._")


class Names:
    """The names seen so far, so that no two of them can mean the same file on any system.

    most: how many there may be, with the folders that names imply.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: dict[str, tuple[str, bool]] = {}  # folded path: path as spelled, whether it is a folder

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, parts: tuple[str, ...], *, folder: bool) -> list[str]:
        """Note a member; returns the folders, outermost first, that are new. A folder may be named again.

        Raises UploadError when the name is taken, differs only in case or in how its letters are coded, or is one too
        many.
        """
        new = []
        for depth in range(1, len(parts) + 1):
            path, is_folder = "/".join(parts[:depth]), depth < len(parts) or folder
            key = _folded(path)
            seen = self._seen.get(key)
            if seen is None:
                if len(self) == self._most:
                    raise too_many(self._most)
                self._seen[key] = (path, is_folder)
                if is_folder:
                    new.append(path)
            elif seen != (path, True) or not is_folder:
                raise _collision(path, seen[0])
        return new


def _folded(path: str) -> str:
    # NFKC once more: folding can take letters apart that were composed.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _collision(path: str, other: str) -> UploadError:
    advice = "Give each file a name of its own, pack again and upload."
    if path == other:
        return refusal("ARCHIVE-TWICE", f"{shown(path)} is in the archive twice", advice)
    found = f"{shown(path)} and {shown(other)} are one name on many systems: only case or the coding of letters differs"
    return refusal("ARCHIVE-CASE", found, advice)


# Paths on the server -------------------------------------------------------------------------------------------------

ROOTS: Final = "PIPELINES_DATA_ROOTS"
_PROJECT: Final = Path(__file__).resolve().parents[2]


def data_roots() -> tuple[Path, ...]:
    """Folders that may be read from the app, resolved, those that exist.

    The environment variable PIPELINES_DATA_ROOTS, parted by the system's path separator; without it sample_data and the
    folder the server was started in. The root of the disk counts only when it is named: services start there.
    """
    given = os.environ.get(ROOTS, "").strip()
    if given:
        named = [Path(part).expanduser() for part in given.split(os.pathsep) if part.strip()]
    else:
        here = Path.cwd()
        named = [_PROJECT / "sample_data"] + ([here] if here != Path(here.anchor) else [])
    return tuple(dict.fromkeys(path.resolve() for path in named if path.is_dir()))


def allowed_path(text: str, roots: Iterable[Path] | None = None) -> Path:
    """The file or folder that the text names, with links followed; a relative one is looked for in each root.

    roots: default `data_roots()`. Raises UploadError for everything outside the roots, for what is hidden (a part of
    the path below the root begins with a dot) and for what is not there, in the same words, so that nobody learns what
    else is on the disk.
    """
    allowed = tuple(data_roots() if roots is None else (root.resolve() for root in roots))
    wanted = text.strip()
    if wanted and "\0" not in wanted and len(wanted) <= os.pathconf("/", "PC_PATH_MAX"):
        for root in allowed:
            found = _inside(wanted, root)
            if found is not None:
                return found
    where = ", ".join(map(str, allowed)) or "none"
    raise UploadError(
        f"PATH: {shown(wanted) or 'an empty path'} is not a file or folder inside the allowed folders ({where}). "
        f"Choose one that is, or ask whoever runs the server to add a folder to {ROOTS}."
    )


def _inside(wanted: str, root: Path) -> Path | None:
    try:
        path = (root / Path(wanted).expanduser()).resolve(strict=True)
        below = path.relative_to(root)
        usable = path.is_dir() or path.is_file()
    except (OSError, ValueError, RuntimeError):  # not there, outside, a ring of links, no such user
        return None
    hidden = any(part.startswith(".") for part in below.parts)  # the trash, and the uploads of others
    return path if usable and not hidden and os.access(path, os.R_OK) else None
