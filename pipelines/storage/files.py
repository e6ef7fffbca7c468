"""Small files written so that a crash or a full disk leaves the old content or the new, never half of it."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import RunError

COMPRESSION = {"compression": "zstd", "compression_level": 3, "write_page_checksum": True}


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Replace a text file atomically. Raises RunError when the disk refuses."""
    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunError(
            f"{path.name} could not be written ({error.strerror}); free some space or choose another place"
        ) from None


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=True) + "\n")


def read_json(path: Path) -> Any:
    """Content of a JSON file. Raises RunError when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path.name} is missing from {path.parent.name}; make the run again") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path.name} in {path.parent.name} cannot be read ({error}); make the run again") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_table(path: Path, table: pa.Table, **options: Any) -> None:
    """Write a table with page checksums under a temporary name, make it durable, then rename it."""
    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, temporary, **(COMPRESSION | options))
        sync_file(temporary)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunError(f"{path.name} could not be written ({error}); free some space or choose another place") from None


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a parquet file with its page checksums verified. Raises RunError when it is missing or damaged."""
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise RunError(f"{path.name} is missing from {path.parent.name}; make the run again") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise RunError(f"{path.name} in {path.parent.name} cannot be read ({error}); make the run again") from None


def read_table(path: Path, *, columns: list[str] | None = None) -> pa.Table:
    """Read a whole parquet file. Raises RunError when it is missing or damaged."""
    with open_parquet(path) as file:
        try:
            return file.read(columns=columns)
        except (OSError, pa.ArrowInvalid) as error:
            raise RunError(f"{path.name} in {path.parent.name} is damaged ({error}); make the run again") from None
