"""What somebody types as a path on the server's disk to a path inside the allowed roots, or to one refusal."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pipelines.errors import UploadError
from pipelines.uploads.names import shown

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
