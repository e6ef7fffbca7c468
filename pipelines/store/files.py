"""Small files written so that a crash or a full disk leaves the old content or the new, never half of it.

And read so that whatever a damaged file can raise is one RunError, which names the file and says what to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import struct
import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from pipelines.errors import PipelineError, RunError
from pipelines.schema import Head, Reading, Split, Variant

if TYPE_CHECKING:  # loaded where parquet is read: listing runs does without
    import pyarrow as pa
    import pyarrow.parquet as pq

# Names and places -----------------------------------------------------------------------------------------------------
#
# Names and places inside a runs folder.

MANIFEST: Final = "manifest.json"
STAGING: Final = ".staging"
TRASH: Final = ".trash"
# What evaluation makes from the rest of a run: the first part of the paths of these files.
EVALUATED: Final = ("statistics", "metrics.parquet", "image_scores.parquet", "evaluation.json", "verdict.json")
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def check_name(name: str) -> str:
    """The name, if it can be a run's. Raises RunError otherwise."""
    if not re.fullmatch(NAME, name):
        raise RunError(
            f"a run's name is 1 to 64 letters, digits, '.', '_' or '-' and begins with a letter or digit, got {name!r}"
        )
    return name


def predictions_folder(split: Split, head: Head, seed: int) -> Path:
    """Place of predictions inside a run."""
    return Path("predictions") / f"split={split}" / f"head={head}" / f"seed={seed}"


def models_folder(head: Head, seed: int) -> Path:
    """Place of a network inside a run."""
    return Path("models") / f"seed={seed}" / f"head={head}"


def counts_folder(split: Split, head: Reading, seed: int, variant: Variant) -> Path:
    """Place of counts inside a run."""
    return Path("statistics") / f"split={split}" / f"head={head}" / f"seed={seed}" / f"variant={variant}"


def previews_file(split: Split) -> Path:
    """Place of the images of a split, as seen by the networks, inside a run."""
    return Path("previews") / f"split={split}.parquet"


def observers_file(split: Split) -> Path:
    """Place of what several observers marked of the images of a split, inside a run."""
    return Path("observers") / f"split={split}.parquet"


# All that was seen when files with flipped bits, cut, emptied or replaced were read. Among the ValueErrors are those of
# JSON, UTF-8, pydantic and most of Arrow's.
_OF_PYTHON: Final = (OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)
_DAMAGE: Final = (*_OF_PYTHON, EOFError, MemoryError, zlib.error, struct.error)
COMPRESSION = {"compression": "zstd", "compression_level": 3, "write_page_checksum": True}


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever reading a damaged file can raise into one RunError with its name, the reason and what to do."""
    try:
        yield
    except PipelineError:
        raise
    except FileNotFoundError:
        raise RunError(f"{name_of(path)} is missing; {remedy(path)}") from None
    except _damage() as error:
        raise RunError(f"{name_of(path)} is damaged ({reason(error)}); {remedy(path)}") from None


def _damage() -> tuple[type[BaseException], ...]:
    """Arrow's own errors can only come where it is loaded."""
    arrow = sys.modules.get("pyarrow")
    return _DAMAGE if arrow is None else (*_DAMAGE, arrow.ArrowException)


def reason(error: BaseException) -> str:
    """The first line of an error, with its kind where the line alone says little."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).splitlines()[:2]).strip()[:200]
    if not text:
        return type(error).__name__
    return text if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {text}"


def name_of(path: Path) -> str:
    """A file for a message: its path in its run, and the run's name."""
    inside = _in_run(path)
    return f"{path.name} in {path.parent.name}" if inside is None else f"{inside[1].as_posix()} of {inside[0].name}"


def remedy(path: Path) -> str:
    """What to do about a file of a run that is damaged or missing."""
    folder, inside = _in_run(path) or (path.parent, Path(path.name))
    if folder.parent.name == STAGING:
        return "start the run again without --resume"
    if inside.name == MANIFEST:
        return f"restore it from a copy, or put the run in the trash: `python -m pipelines delete {folder.name}`"
    if inside.parts[0] in EVALUATED:
        return f"`python -m pipelines evaluate {folder.name}` makes it anew"
    return "restore it from a copy, or make the run again"


def _in_run(path: Path) -> tuple[Path, Path] | None:
    """The folder of the run, whole or staged, that a file belongs to, and its path in there; None outside of runs."""
    for folder in path.parents:
        if os.path.lexists(folder / MANIFEST) or folder.parent.name == STAGING:
            return folder, path.relative_to(folder)
    return None


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


@contextlib.contextmanager
def refusals(name: str, then: str) -> Iterator[None]:
    """Turn what a disk says that refuses into one RunError. then: what to do once there is space."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{name} could not be written ({reason(error)}); free some space {then}") from None


@contextlib.contextmanager
def replacing(path: Path, *, name: str | None = None, then: str = "or choose another place") -> Iterator[Path]:
    """Where to write a file that takes its own name, durably, when the block ends well; else nothing is left of it.

    Raises RunError when the disk refuses.
    """
    temporary = path.with_name(path.name + ".new")
    with refusals(name or path.name, then):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            sync_file(temporary)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Replace a text file atomically. Raises RunError when the disk refuses."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=True) + "\n")


def read_json(path: Path) -> Any:
    """Content of a JSON file. Raises RunError when it is missing or damaged."""
    with reading(path):
        return json.loads(path.read_text(encoding="utf-8"))


def read_object(path: Path) -> dict[str, Any]:
    """Content of a JSON file that holds an object. Raises RunError when it is missing, damaged or holds another."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise RunError(f"{name_of(path)} is damaged (it holds {type(values).__name__}, not an object); {remedy(path)}")
    return values


def checksum(values: dict[str, Any]) -> str:
    """SHA-256, hex, of a JSON object without its own `checksum`."""
    body = {key: value for key, value in values.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def write_sealed(path: Path, values: dict[str, Any]) -> None:
    """Replace a JSON file atomically, with its own checksum in it."""
    values = json.loads(json.dumps(values))  # as it will be read
    write_json(path, values | {"checksum": checksum(values)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Content of a JSON file that was written sealed. Raises RunError when it is missing, damaged or has changed.

    Files without a checksum are of before they were sealed, and pass.
    """
    values = read_object(path)
    if values.get("checksum") not in (None, checksum(values)):
        raise RunError(f"{name_of(path)} has changed since it was written; {remedy(path)}")
    return values


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, known: str) -> None:
    """Raise RunError when a file is missing, cannot be read or has changed."""
    with reading(path):
        same = sha256(path) == known
    if not same:
        raise RunError(f"{name_of(path)} has changed since it was written; {remedy(path)}")


def write_table(path: Path, table: pa.Table, **options: Any) -> None:
    """Write a table with page checksums under a temporary name, make it durable, then rename it."""
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(table, temporary, **(COMPRESSION | options))


class Writer(ABC):
    """What appears only as a whole: as a context it is closed at the end, or discarded after an error."""

    @abstractmethod
    def close(self) -> None:
        """Finish it and give it its name."""

    @abstractmethod
    def discard(self) -> None:
        """Leave nothing behind: a readable but short file must not stay."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


class TableWriter(Writer):
    """A parquet file written table by table; it appears under its name only when `close` has succeeded.

    name: of what is written, for messages. Methods raise RunError when the disk refuses.
    """

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._temporary = path, path.with_name(path.name + ".new")
        self._name = name or path.name
        self._writer: pq.ParquetWriter | None = None

    def add(self, table: pa.Table, *, row_group_size: int | None = None, **options: Any) -> None:
        """Add a table. options: of the writer, taken with the first table."""
        import pyarrow.parquet as pq

        with refusals(self._name, "and resume"):
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._temporary, table.schema, **(COMPRESSION | options))
            self._writer.write_table(table, row_group_size)

    def close(self, **notes: str) -> None:
        """Finish the file, with notes in its footer, and give it its name."""
        with refusals(self._name, "and resume"):
            if self._writer is not None:
                if notes:
                    self._writer.add_key_value_metadata(notes)
                self._writer.close()
            sync_file(self._temporary)
            os.replace(self._temporary, self._path)

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            self._writer.close()
        self._temporary.unlink(missing_ok=True)


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a parquet file with its page checksums verified. Raises RunError when it is missing or damaged."""
    import pyarrow.parquet as pq

    with reading(path):
        return pq.ParquetFile(path, page_checksum_verification=True)


def read_table(path: Path, *, columns: list[str] | None = None) -> pa.Table:
    """Read a whole parquet file. Raises RunError when it is missing or damaged."""
    with open_parquet(path) as file, reading(path):
        return file.read(columns=columns)
