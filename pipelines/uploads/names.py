"""Names that strangers give to safe paths: inside an archive, and on the server's disk."""

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pipelines.errors import UploadError
from pipelines.uploads.limits import Limits

# Names in an archive -------------------------------------------------------------------------------------------------

_DRIVE: Final = re.compile(r"[A-Za-z]:")
_RESERVED: Final = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³])(\..*)?", re.IGNORECASE)
_TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BAD_CATEGORIES: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))
_JUNK_NAMES: Final = frozenset((".ds_store", "thumbs.db", "desktop.ini", ".directory"))
_SHOWN: Final = 80  # characters


def refusal(code: str, found: str, advice: str) -> UploadError:
    """The error that says what was found and what to do."""
    return UploadError(f"{code}: {found}. Nothing was stored. {advice}")


def too_many(most: int) -> UploadError:
    """The error for an archive of more members than that."""
    found = f"the archive holds more than {most:,} files and folders"
    return refusal("ARCHIVE-COUNT", found, "Take out what is not needed, or split it into several uploads.")


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
