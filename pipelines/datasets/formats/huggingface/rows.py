"""Shards of Hugging Face `datasets` (parquet, or Arrow streams) to the bytes of one cell at a time."""

import struct
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import DatasetError

MAX_ROWS: Final = 500_000
MAX_GROUP_BYTES: Final = 1 << 30  # of one row group, unpacked
MAX_PATH: Final = 1000
MAX_BATCH_BYTES: Final = 1 << 30  # of one Arrow batch, which is not copied
_MAX_PATH_BYTES: Final = 16 << 20
_MAX_BATCHES: Final = 100_000


class Shard(ABC):
    """One file of rows. schema: Arrow's. rows: how many."""

    path: Path
    schema: pa.Schema
    rows: int

    @abstractmethod
    def read(self, row: int, column: str) -> bytes:
        """The encoded picture in one cell. Raises DatasetError, one line, when it is not in there."""

    @abstractmethod
    def paths(self, column: str) -> list[str | None]:
        """What each cell of a column says that its picture was called; [] when it does not say."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is kept between two reads."""


def open_shard(path: Path) -> Shard:
    """Open a .parquet or .arrow file; reads its schema and where its rows are. Raises DatasetError, one line."""
    with told(path):
        return _Parquet(path) if path.suffix.lower() == ".parquet" else _Stream(path)


def holds_pictures(kind: pa.DataType) -> bool:
    """Whether a column can hold encoded pictures: bytes, or what `datasets` writes for an Image."""
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _binary(kind.field("bytes").type)
    return _binary(kind)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What Arrow raises for damage becomes a DatasetError that names the file."""
    try:
        yield
    except DatasetError:
        raise
    except MemoryError:
        raise DatasetError(f"{short(path)} needs more memory than there is; write it with smaller row groups") from None
    except (OSError, ValueError, TypeError, KeyError, IndexError, OverflowError, RuntimeError, struct.error,
            NotImplementedError, pa.ArrowException) as error:  # fmt: skip
        text = (str(error) or type(error).__name__).split("\n")[0]
        text = text if text.isprintable() else repr(text)[1:-1]
        raise DatasetError(
            f"{short(path)} is damaged or no {path.suffix[1:]} file ({text[:200]}); copy it again"
        ) from None


def short(path: Path) -> str:
    """A path for messages: one printable line."""
    text = "/".join(path.parts[-2:])
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= 120 else f"…{text[-119:]}"


def _binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _bytes(path: Path, row: int, column: str, value: Any) -> bytes:
    held = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(held, bytes) or not held:
        raise DatasetError(
            f"{short(path)}, row {row}: the cell of {column[:40]!r} holds no picture, at most the name of one; write "
            "the set with to_parquet or save_to_disk, which put the pictures into it"
        )
    return held


class _Parquet(Shard):
    """Rows are unpacked one by one, so that a row group that unpacks to gigabytes does not matter."""

    def __init__(self, path: Path) -> None:
        self.path = path
        file = self._file()
        self.schema = file.schema_arrow
        counts = [file.metadata.row_group(index).num_rows for index in range(file.metadata.num_row_groups)]
        if min(counts, default=0) < 0 or sum(counts) != file.metadata.num_rows:
            raise ValueError("its row counts contradict each other")
        self.rows = sum(counts)
        self._ends = list(accumulate(counts))
        # Column to row group, the next row in it, and where they come from.
        self._open: dict[str, tuple[int, int, Iterator[Any]]] = {}

    def _file(self, dictionaries: Sequence[str] = ()) -> Any:
        return pq.ParquetFile(
            self.path, memory_map=True, pre_buffer=False, page_checksum_verification=True,
            read_dictionary=list(dictionaries), arrow_extensions_enabled=False,
        )  # fmt: skip

    def read(self, row: int, column: str) -> bytes:
        group = bisect_right(self._ends, row)
        inside = row - (self._ends[group - 1] if group else 0)
        with told(self.path):
            at, following, batches = self._open.pop(column, (-1, 0, iter(())))
            if at != group or following > inside:
                batches, following = self._batches(group, column, "bytes", 1), 0
            batch = None
            for _ in range(inside - following + 1):
                batch = next(batches, None)
            if batch is None or batch.num_rows != 1:
                raise ValueError(f"row {row} is missing")
            value = batch.column(0)
            value.validate(full=True)
            self._open[column] = (group, inside + 1, batches)
            return _bytes(self.path, row, column, value[0].as_py())

    def paths(self, column: str) -> list[str | None]:
        if not _has_paths(self.schema.field(column).type):
            return []
        found: list[str | None] = []
        with told(self.path):
            for group in range(len(self._ends)):
                for batch in self._batches(group, column, "path", 1024):
                    cells = batch.column(0)
                    cells.validate(full=True)
                    if cells.nbytes > _MAX_PATH_BYTES or _longest(cells.field("path")) > MAX_PATH:
                        return []
                    found += [cell.get("path") if isinstance(cell, dict) else None for cell in cells.to_pylist()]
        return found if len(found) == self.rows else []

    def _batches(self, group: int, column: str, field: str, rows: int) -> Iterator[Any]:
        leaf = f"{column}.{field}" if pa.types.is_struct(self.schema.field(column).type) else column
        # Paths are kept as a dictionary: cells that share one long text would otherwise fill the memory.
        file = self._file([leaf] if field == "path" else [])
        # Never the metadata of a column: on damage Arrow ends the process there.
        size = file.metadata.row_group(group).total_byte_size
        if not 0 <= size <= MAX_GROUP_BYTES:
            raise DatasetError(
                f"{short(self.path)}: row group {group} unpacks to {size:,} bytes, allowed are {MAX_GROUP_BYTES:,}; "
                "write it with smaller row groups"
            )
        return iter(file.iter_batches(batch_size=rows, row_groups=[group], columns=[leaf], use_threads=False))

    def close(self) -> None:
        self._open.clear()


class _Stream(Shard):
    """What save_to_disk writes: batches one after the other, mapped into memory and never unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            start = file.read(16)
        if len(start) < 16 or start.startswith(b"ARROW1"):
            raise ValueError("it is no Arrow stream, as save_to_disk writes it")
        reader, self.schema = self._messages()
        counts = []
        for _, batch in self._each(reader):
            counts.append(batch.num_rows)
            if len(counts) > _MAX_BATCHES:
                raise ValueError(f"it holds more than {_MAX_BATCHES:,} batches")
        self.rows = sum(counts)
        self._ends = list(accumulate(counts))
        self._open: tuple[int, Any] | None = None

    def _messages(self) -> tuple[Any, pa.Schema]:
        source = pa.memory_map(str(self.path))
        schema = pa.ipc.open_stream(source).schema
        if any(isinstance(field.type, pa.DictionaryType) for field in schema):
            raise ValueError("it holds dictionaries")
        source.seek(0)
        reader = pa.ipc.MessageReader.open_stream(source)
        reader.read_next_message()  # the schema
        return reader, schema

    def _each(self, reader: Any) -> Iterator[tuple[int, Any]]:
        number = 0
        while True:
            try:
                message = reader.read_next_message()
            except StopIteration:
                return
            if message.type != "record batch":
                raise ValueError(f"it holds a message of the kind {message.type}")
            if message.body is None or message.body.size > MAX_BATCH_BYTES:
                raise ValueError(f"a batch holds more than {MAX_BATCH_BYTES:,} bytes")
            if _compressed(message.metadata.to_pybytes()):
                raise ValueError("its batches are compressed")
            batch = pa.ipc.read_record_batch(message, self.schema)
            if not 0 <= batch.num_rows <= MAX_ROWS:
                raise ValueError(f"a batch claims {batch.num_rows:,} rows")
            yield number, batch
            number += 1

    def _batch(self, wanted: int) -> Any:
        if self._open is None or self._open[0] != wanted:
            reader, _ = self._messages()
            self._open = next((one for one in self._each(reader) if one[0] == wanted), None)
        if self._open is None:
            raise ValueError(f"batch {wanted} is missing")
        return self._open[1]

    def read(self, row: int, column: str) -> bytes:
        with told(self.path):
            group = bisect_right(self._ends, row)
            cells = self._batch(group).column(column)
            cells.validate(full=True)
            value = cells[row - (self._ends[group - 1] if group else 0)]
            return _bytes(self.path, row, column, value.as_py())

    def paths(self, column: str) -> list[str | None]:
        if not _has_paths(self.schema.field(column).type):
            return []
        found: list[str | None] = []
        with told(self.path):
            reader, _ = self._messages()
            for _, batch in self._each(reader):
                cells = batch.column(column)
                cells.validate(full=True)
                inner = cells.field("path")
                if inner.nbytes > _MAX_PATH_BYTES or _longest(inner) > MAX_PATH:
                    return []
                found += inner.to_pylist()
        return found if len(found) == self.rows else []

    def close(self) -> None:
        self._open = None


def _longest(cells: Any) -> int:
    """Length of the longest text of a column that may be a dictionary; 0 for none."""
    values = cells.dictionary if isinstance(cells, pa.DictionaryArray) else cells
    return max((len(one) for one in values.to_pylist() if one is not None), default=0)


def _compressed(message: bytes) -> bool:
    """Whether a record batch's flatbuffer names a compression; unpacked, such a batch could be of any size.

    Tables of the format: Message (version, header_type, header, …), RecordBatch (length, nodes, buffers, compression).
    """
    header = _field(message, struct.unpack_from("<I", message, 0)[0], 2)
    if header is None:
        raise ValueError("a message has no header")
    batch = header + struct.unpack_from("<I", message, header)[0]
    return _field(message, batch, 3) is not None


def _field(message: bytes, table: int, index: int) -> int | None:
    """Where a field of a flatbuffer's table is; None when it is left out."""
    vtable = table - struct.unpack_from("<i", message, table)[0]
    if vtable < 0 or struct.unpack_from("<H", message, vtable)[0] <= 4 + 2 * index:
        return None
    offset = struct.unpack_from("<H", message, vtable + 4 + 2 * index)[0]
    return table + offset if offset else None


def _has_paths(kind: pa.DataType) -> bool:
    """Whether cells of a type hold a path beside their bytes."""
    return (
        pa.types.is_struct(kind) and kind.get_field_index("path") >= 0 and pa.types.is_string(kind.field("path").type)
    )
