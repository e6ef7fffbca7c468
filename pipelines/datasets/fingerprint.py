"""Files to one sha256 of their names, lengths and contents."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pipelines.errors import DatasetError

_CHUNK: Final = 1 << 20


def fingerprint_of(paths: Iterable[Path], root: Path, *, said: bytes = b"") -> str:
    """sha256, in hex, over what was said of files and over name below root, length and content of each, sorted.

    Raises DatasetError for a file that is gone or cannot be read.
    """
    total = hashlib.sha256(said)
    for path in sorted(paths):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        try:
            total.update(f"{name}\0{path.stat().st_size}\0{_sha256(path)}\n".encode())
        except OSError as error:
            raise DatasetError(f"{name} of the data set cannot be read ({error.strerror}); put it back") from None
    return total.hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
