"""Parquet files opened again without reading their footers again.

The footer of a file with a row group an image takes longer to read than an image: 15 µs for each of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from pipelines.storage import files
from pipelines.storage.counts import Recent

KEPT_BYTES: Final = 2**28  # of footers, in the whole process: two heads of 3,000 images with eleven classes
_IN_MEMORY: Final = 20  # bytes of a footer in memory for each in the file, as measured


@dataclass(frozen=True)
class _Footer:
    metadata: pq.FileMetaData

    @property
    def nbytes(self) -> int:
        return int(self.metadata.serialized_size) * _IN_MEMORY


_FOOTERS: Final = Recent(KEPT_BYTES)


def open_again(path: Path) -> pq.ParquetFile:
    """`files.open_parquet` for files that are opened time and again. Raises RunError when it is missing or damaged."""
    footer = footer_of(path)
    with files.reading(path):
        return pq.ParquetFile(path, metadata=footer, page_checksum_verification=True)


def footer_of(path: Path) -> pq.FileMetaData:
    """A file's footer, with what its writer noted. Raises RunError when the file is missing or damaged."""
    try:
        found = path.stat()
    except OSError:
        return _read(path).metadata  # which says what is wrong
    key = (path, found.st_ino, found.st_mtime_ns, found.st_size)
    footer: _Footer = _FOOTERS.get(key, lambda: _read(path))
    return footer.metadata


def _read(path: Path) -> _Footer:
    with files.open_parquet(path) as file:
        return _Footer(file.metadata)
