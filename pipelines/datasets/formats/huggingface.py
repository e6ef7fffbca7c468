"""Hugging Face data sets on disk: Arrow and parquet files with a picture and its mask in columns."""

import json
import posixpath
import struct
import threading
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.datasets import imageio, listing, splits
from pipelines.datasets.bands import choose_bands
from pipelines.datasets.base import Finding, Format, Picture, Size, Source, Truth, distinct, source_name
from pipelines.datasets.files import damage_named
from pipelines.datasets.formats import json_file, tiff_images
from pipelines.datasets.formats.masks import reading
from pipelines.datasets.formats.masks.reading import Counts, MaskValues
from pipelines.datasets.formats.masks.tables import Named, Names, find_names
from pipelines.datasets.formats.masks.values import value_labels
from pipelines.datasets.formats.nested_lists import MAX_VALUES, bands_last, is_nested, to_array
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.schema import SPLITS
from pipelines.sentences import path_tail, printable

# Columns and their roles ---------------------------------------------------------------------------------------------

_IMAGES: Final = ("image", "images", "img", "picture", "photo", "pixel_values", "input", "rgb")
_MASKS: Final = (
    "mask masks label labels annotation annotations segmentation segmentation_mask seg semantic_segmentation "
    "semantic_mask seg_map label_map ground_truth groundtruth gt target"
)
_LIKE_MASKS: Final = ("mask", "seg", "label", "annot")


def choose(schema: pa.Schema, options: Mapping[str, str], path: Path) -> tuple[str, str]:
    """The columns of images and masks, as the options say or by their names. Raises DatasetError, one line.

    Columns of arrays are looked at where there are no two of pictures; nobody else says that lists beside pictures are
    masks and no outlines.
    """
    with told(path):  # names need not be text
        names = [name for name in schema.names if schema.names.count(name) == 1]
        pictures = [name for name in names if holds_pictures(schema.field(name).type)]
        arrays = [name for name in names if is_nested(schema.field(name).type)]
    if arrays:
        with suppress(DatasetError):
            return _choose(pictures, options, path)
        image, mask = _choose(pictures + arrays, options, path)
        if image in arrays or options.get("mask", "").strip():
            return image, mask
    return _choose(pictures, options, path)


def _choose(every: list[str], options: Mapping[str, str], path: Path) -> tuple[str, str]:
    """The same, of columns that can be either."""
    shown = [printable(name)[:40] for name in every[:10]]
    listed = ", ".join(shown) or "none"
    given = {key: options.get(key, "").strip() for key in ("image", "mask")}
    for key, name in given.items():
        if name and (name not in every or "." in name):
            raise DatasetError(
                f"{path_tail(path)} has no column {name[:60]!r} of pictures for {key}; such columns are {listed}"
            )
    open_ = [name for name in every if name not in given.values() and "." not in name]
    image = given["image"] or _first(open_, _IMAGES)
    mask = given["mask"] or _first([name for name in open_ if name != image], tuple(_MASKS.split()), like=_LIKE_MASKS)
    left = [name for name in open_ if name not in (image, mask)]
    image = image or (left[0] if mask and len(left) == 1 else "")
    mask = mask or (left[0] if given["image"] and len(left) == 1 else "")
    if not image or not mask or image == mask:
        raise DatasetError(
            f"{path_tail(path)} has no two columns that are known as image and mask; its columns of pictures are "
            f"{listed}; name them with the options image and mask"
        )
    return image, mask


def _first(names: list[str], known: tuple[str, ...], like: tuple[str, ...] = ()) -> str:
    folded = {name.casefold(): name for name in reversed(names)}
    exact = next((folded[name] for name in known if name in folded), "")
    return exact or next((name for name in names if any(part in name.casefold() for part in like)), "")


def class_names(
    root: Path, schema: pa.Schema, mask: str, options: Mapping[str, str]
) -> tuple[Names | None, Path | None]:
    """Names of the mask's values, and the file they stand in beside the shards.

    From the option classes, from id2label.json, from a feature that names the mask's classes, or from a text file.
    Raises DatasetError, one line.
    """
    given = options.get("classes", "").strip()
    if given:
        names = [name.strip() for name in given.split(",")]
        if not all(0 < len(name) <= 200 for name in names) or len(names) > MAX_LABELS:
            raise DatasetError("classes must be names with commas between them, in the order of values from 0")
        return _names(names, Path("classes")), None
    path = listing.child(root, "id2label.json")
    if path is not None and path.is_file():
        return _id2label(path), path
    features = _feature_names(schema, mask)
    if features:
        return _names(features, Path("features")), None
    table = find_names(root, (), {})
    return table, None if table is None else table.path


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What `datasets` notes about columns in the schema; {} where that is missing or broken."""
    noted = (schema.metadata or {}).get(b"huggingface", b"")
    try:
        features = json.loads(noted)["info"]["features"] if len(noted) < json_file.MAX_VALUE else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _feature_names(schema: pa.Schema, mask: str) -> list[str]:
    """Names of a ClassLabel feature that belongs to the mask: of a list of classes, or called after the mask.

    A ClassLabel of the whole picture, such as its scene, names other things.
    """
    wanted = ("classes", "class_names", f"{mask}_classes", f"{mask}_names", f"{mask}_labels", f"{mask}_class")
    for column, feature in _features(schema).items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else feature
        names = inner.get("names") if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" else None
        if column.casefold() in wanted and isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names if 0 < len(names) <= MAX_LABELS and all(0 < len(name) <= 200 for name in names) else []
    return []


def _names(names: list[str], path: Path) -> Names:
    return Names(tuple(Named(name, value) for value, name in enumerate(distinct(names))), path)


def _id2label(path: Path) -> Names:
    rows = []
    for value, name in json_file.read_object(path).items():
        if (
            not (value.isascii() and value.isdecimal() and len(value) < 10)
            or not isinstance(name, str)
            or not 0 < len(name) <= 200
        ):
            raise DatasetError(f'{path.name} must give each value a name, such as {{"0": "wall"}}; correct it')
        rows.append((int(value), name))
    if not 0 < len(rows) <= MAX_LABELS:
        raise DatasetError(f"{path.name} names {len(rows):,} classes, expected 1 to {MAX_LABELS:,}; correct it")
    spoken = distinct(name for _, name in rows)
    return Names(tuple(Named(name, value) for (value, _), name in zip(rows, spoken, strict=True)), path)


# Rows on disk --------------------------------------------------------------------------------------------------------

MAX_ROWS: Final = 500_000
MAX_GROUP_BYTES: Final = 1 << 30  # of one row group, unpacked
MAX_PATH: Final = 1000
MAX_BATCH_BYTES: Final = 1 << 30  # of one Arrow batch, which is not copied
_MAX_PATH_BYTES: Final = 16 << 20
_MAX_BATCHES: Final = 100_000
# What Arrow raises for damage; LookupError holds KeyError and IndexError, RuntimeError holds NotImplementedError.
_DAMAGE: Final = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    RuntimeError,
    struct.error,
    pa.ArrowException,
)


class Shard(ABC):
    """One file of rows. schema: Arrow's. rows: how many."""

    path: Path
    schema: pa.Schema
    rows: int

    @abstractmethod
    def read(self, row: int, column: str) -> bytes | NDArray[Any]:
        """The encoded picture or the array in one cell. Raises DatasetError, one line, when it is not in there."""

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
        with damage_named(path, f"is damaged or no {path.suffix[1:]} file ({{}}); copy it again", _DAMAGE):
            yield
    except MemoryError:
        problem = "needs more memory than there is; write it with smaller row groups"
        raise DatasetError(f"{path_tail(path)} {problem}") from None


def _binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _content(path: Path, row: int, column: str, cell: Any) -> bytes | NDArray[Any]:
    if is_nested(cell.type):
        return to_array(cell)
    value = cell.as_py()
    held = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(held, bytes) or not held:
        raise DatasetError(
            f"{path_tail(path)}, row {row}: the cell of {column[:40]!r} holds no picture, at most the name of one; "
            "write the set with to_parquet or save_to_disk, which put the pictures into it"
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
            self.path,
            memory_map=True,
            pre_buffer=False,
            page_checksum_verification=True,
            read_dictionary=list(dictionaries),
            arrow_extensions_enabled=False,
        )

    def read(self, row: int, column: str) -> bytes | NDArray[Any]:
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
            return _content(self.path, row, column, value[0])

    def paths(self, column: str) -> list[str | None]:
        if not _has_paths(self.schema.field(column).type):
            return []
        paths: list[str | None] = []
        with told(self.path):
            for group in range(len(self._ends)):
                for batch in self._batches(group, column, "path", 1024):
                    cells = batch.column(0)
                    cells.validate(full=True)
                    if cells.nbytes > _MAX_PATH_BYTES or _longest(cells.field("path")) > MAX_PATH:
                        return []
                    paths += [cell.get("path") if isinstance(cell, dict) else None for cell in cells.to_pylist()]
        return paths if len(paths) == self.rows else []

    def _batches(self, group: int, column: str, field: str, rows: int) -> Iterator[Any]:
        leaf = f"{column}.{field}" if pa.types.is_struct(self.schema.field(column).type) else column
        # Paths are kept as a dictionary: cells that share one long text would otherwise fill the memory.
        file = self._file([leaf] if field == "path" else [])
        # Never the metadata of a column: on damage Arrow ends the process there.
        size = file.metadata.row_group(group).total_byte_size
        nested = is_nested(self.schema.field(column).type)
        if nested and file.metadata.row_group(group).column(self._leaf(file, column)).num_values > MAX_VALUES:
            raise DatasetError(
                f"{path_tail(self.path)}: row group {group} holds more than {MAX_VALUES:,} values of {column[:40]!r}; "
                "write it with smaller row groups"
            )
        if not 0 <= size <= MAX_GROUP_BYTES:
            raise DatasetError(
                f"{path_tail(self.path)}: row group {group} unpacks to {size:,} bytes, allowed are "
                f"{MAX_GROUP_BYTES:,}; write it with smaller row groups"
            )
        return iter(file.iter_batches(batch_size=rows, row_groups=[group], columns=[leaf], use_threads=False))

    def _leaf(self, file: Any, column: str) -> int:
        """Number of the one column of values that a column of arrays has in the file."""
        paths = (file.schema.column(index).path for index in range(len(file.schema)))
        return next(index for index, path in enumerate(paths) if path.split(".")[0] == column)

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
            self._open = next((numbered for numbered in self._each(reader) if numbered[0] == wanted), None)
        if self._open is None:
            raise ValueError(f"batch {wanted} is missing")
        return self._open[1]

    def read(self, row: int, column: str) -> bytes | NDArray[Any]:
        with told(self.path):
            group = bisect_right(self._ends, row)
            cells = self._batch(group).column(column)
            cells.validate(full=True)
            value = cells[row - (self._ends[group - 1] if group else 0)]
            return _content(self.path, row, column, value)

    def paths(self, column: str) -> list[str | None]:
        if not _has_paths(self.schema.field(column).type):
            return []
        paths: list[str | None] = []
        with told(self.path):
            reader, _ = self._messages()
            for _, batch in self._each(reader):
                cells = batch.column(column)
                cells.validate(full=True)
                inner = cells.field("path")
                if inner.nbytes > _MAX_PATH_BYTES or _longest(inner) > MAX_PATH:
                    return []
                paths += inner.to_pylist()
        return paths if len(paths) == self.rows else []

    def close(self) -> None:
        self._open = None


def _longest(cells: Any) -> int:
    """Length of the longest text of a column that may be a dictionary; 0 for none."""
    values = cells.dictionary if isinstance(cells, pa.DictionaryArray) else cells
    return max((len(text) for text in values.to_pylist() if text is not None), default=0)


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


# The source ----------------------------------------------------------------------------------------------------------

_STATE: Final = "state.json"
_SUFFIXES: Final = (".parquet", ".arrow")
_DEPTH: Final = 3
_MOST_SHARDS: Final = 10_000
_LOOKED_AT: Final = 10


def _recognise(root: Path) -> str | None:
    for path in islice(listing.walk(root, suffixes=_SUFFIXES, depth=_DEPTH), _LOOKED_AT):
        try:
            schema = open_shard(path).schema if path.suffix.lower() == ".parquet" else _stream_schema(path)
            image, mask = (printable(name)[:40] for name in choose(schema, {}, path))
        except (DatasetError, OSError):
            continue
        return f"{listing.shown(path, root)} has the columns {image} and {mask} of pictures"
    return None


def _stream_schema(path: Path) -> pa.Schema:
    with told(path), pa.memory_map(str(path)) as source:
        return pa.ipc.open_stream(source).schema


class HuggingFaceSource(listing.FileSource):
    """Rows of shards. Only pictures inside the shards are read, never files that they name."""

    exclusive = True
    complete = True

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        self.root = root
        self.name = source_name(root, "datasets")
        self._lock = threading.RLock()
        findings: list[Finding] = []
        self._tables: list[Path] = []
        files = self._find(findings)
        self._shards = [open_shard(path) for path, _ in files]
        if not self._shards or sum(shard.rows for shard in self._shards) == 0:
            raise DatasetError(f"{self.name} holds no rows in parquet or Arrow files; save the data set there again")
        self._starts = [0, *accumulate(shard.rows for shard in self._shards)]
        if self._starts[-1] > MAX_ROWS:
            raise DatasetError(
                f"{self.name} holds {self._starts[-1]:,} rows, allowed are {MAX_ROWS:,}; take a part of it"
            )
        self._image, self._mask = self._columns(options)
        named = [(split or "row") for _, split in files]
        self._rows = self._name_rows(named)
        splits: dict[str, list[str]] = defaultdict(list)
        for name, number in self._rows.items():
            split = files[bisect_right(self._starts, number) - 1][1]
            if split is not None:
                splits[split].append(name)
        self.splits = {split: tuple(splits[split]) for split in SPLITS if splits.get(split)}
        self._last: Shard | None = None
        self._arrays = is_nested(self._shards[0].schema.field(self._image).type)
        self._bands_of = tiff_images.parse_options(options)
        if self._arrays:
            self._find_bands(options)
        names, table = class_names(root, self._shards[0].schema, self._mask, options)
        self._tables += [table] if table is not None else []
        held = self._count()
        self._values, of_labels = value_labels(held, names)
        self.labels = self._values.labels
        self.findings = (*findings, *held.findings(root), *of_labels)

    def _find(self, findings: list[Finding]) -> list[tuple[Path, str | None]]:
        """Shards with the split that each belongs to, in the order of names."""
        files = list(listing.walk(self.root, suffixes=_SUFFIXES, depth=_DEPTH))
        streams = {path.parent for path in files if path.suffix.lower() == ".arrow"}
        kept: list[Path] = []
        for folder in sorted(streams):
            kept += self._saved(folder)
        kept += [path for path in files if path.suffix.lower() == ".parquet"]
        if streams and len(kept) > sum(path.suffix.lower() == ".arrow" for path in kept):
            problem = (
                "both parquet and Arrow files are there, and all are read; keep one kind if they hold the same rows"
            )
            findings.append(Finding.warning("TWO-KINDS", problem))
        if len(kept) > _MOST_SHARDS:
            raise DatasetError(f"{self.name} has {len(kept):,} shards, allowed are {_MOST_SHARDS:,}; write larger ones")
        return [(path, splits.split_named(path.stem) or splits.split_of(path, self.root)) for path in kept]

    def _saved(self, folder: Path) -> list[Path]:
        """Arrow files of a folder, as its state.json lists them if it has one."""
        state = listing.child(folder, _STATE)
        if state is None or not state.is_file():
            return list(listing.walk(folder, suffixes=(".arrow",), depth=0))
        self._tables.append(state)
        listed = json_file.read_object(state)
        if listed.get("_indices_data_files"):
            raise DatasetError(
                f"{path_tail(state)} picks rows by an index; call flatten_indices() and save the set again"
            )
        rows = listed.get("_data_files")
        names = (
            [row.get("filename") if isinstance(row, dict) else None for row in rows]
            if isinstance(rows, list)
            else [None]
        )
        files = {path.name: path for path in listing.walk(folder, suffixes=(".arrow",), depth=0)}
        lost = next((name for name in names if not isinstance(name, str) or name not in files), "")
        if lost != "":
            raise DatasetError(
                f"{path_tail(state)} lists {str(lost)[:80]!r}, which is not beside it; copy the whole folder"
            )
        return [files[name] for name in dict.fromkeys(names) if isinstance(name, str)]

    def _columns(self, options: Mapping[str, str]) -> tuple[str, str]:
        chosen = {choose(shard.schema, options, shard.path) for shard in self._shards}
        if len(chosen) > 1:
            raise DatasetError(f"the shards of {self.name} have different columns; name them: image=…, mask=…")
        return chosen.pop()

    def _name_rows(self, prefixes: list[str]) -> dict[str, int]:
        """Names of rows: what their pictures were called where that tells them apart, else split and number."""
        stems: list[str] = []
        for shard in self._shards:
            given = shard.paths(self._image)
            stems += [_stem(path) for path in given] if len(given) == shard.rows else [""] * shard.rows
        if len(set(stems)) == len(stems) and all(listing.usable(stem) for stem in stems):
            return dict(sorted((stem, number) for number, stem in enumerate(stems)))
        counts: dict[str, int] = defaultdict(int)
        names = {}
        for shard, prefix, start in zip(self._shards, prefixes, self._starts, strict=False):
            for row in range(shard.rows):
                names[f"{prefix}-{counts[prefix]:06d}"] = start + row
                counts[prefix] += 1
        return dict(sorted(names.items()))

    def _count(self) -> MaskValues:
        """Values of every mask, as they lie in the files; each is looked at once in a process."""
        rows = sorted(self._rows.items(), key=lambda row: row[1])
        places = ((name, *self._place(number)) for name, number in rows)
        return reading.count_masks(
            (Path(name), shard.path, (self._mask, row), partial(self._counts, name)) for name, shard, row in places
        )

    def _counts(self, name: str) -> Counts | None:
        return reading.count_values(self._mask_values(name))

    def _place(self, number: int) -> tuple[Shard, int]:
        index = bisect_right(self._starts, number) - 1
        return self._shards[index], number - self._starts[index]

    def _cell(self, name: str, column: str) -> bytes | NDArray[Any]:
        with self._lock:
            shard, row = self._place(self._rows[name])
            if self._last is not None and self._last is not shard:
                self._last.close()
            self._last = shard
            return shard.read(row, column)

    def _mask_values(self, name: str) -> NDArray[Any]:
        where, cell = Path(self._where(name)), self._cell(name, self._mask)
        if isinstance(cell, bytes):
            return reading.read_index(where, content=cell)
        if cell.ndim == 3 and 1 in (cell.shape[0], cell.shape[2]):
            cell = cell[0] if cell.shape[0] == 1 else cell[:, :, 0]
        if cell.ndim != 2:
            raise DatasetError(f"{where} has a mask of the shape {cell.shape}, expected (H, W); save one value a pixel")
        return tiff_images.whole_numbers(where, cell)

    def _array(self, name: str) -> NDArray[Any]:
        """The bands of a row whose image is an array, (H, W, B), as stored."""
        cell = self._cell(name, self._image)
        if isinstance(cell, bytes):
            raise DatasetError(f"{self._where(name)} holds an encoded picture where others hold arrays; write it again")
        with damage_named(Path(self._where(name)), "cannot be read ({}); write it again", (ValueError,)):
            return bands_last(cell)

    def _find_bands(self, options: Mapping[str, str]) -> None:
        """Bands as the first row that can be read has them."""
        for name in list(self._rows)[:_LOOKED_AT]:
            try:
                values = self._array(name)
            except DatasetError:  # the check lists it
                continue
            self.bands = choose_bands(values.shape[2], options, rgb=values.shape[2] == 3, where=self._where(name))
            return

    def picture(self, name: str, *, size: Size | None = None) -> Picture:
        """The picture of a row, or the bands of its array by the options channels and range."""
        if not self._arrays:
            return super().picture(name, size=size)
        values = self._array(name)
        chosen = self._bands_of.channels or tuple(range(values.shape[2]))
        if max(chosen) >= values.shape[2]:
            raise DatasetError(
                f"{self._where(name)} has {values.shape[2]} channels, asked for is channel {max(chosen) + 1}; correct "
                "channels"
            )
        if values.dtype.kind in "iu" and values.dtype.itemsize > 2 and self._bands_of.limits == "dtype":
            raise DatasetError(
                f"{self._where(name)} holds {values.dtype} from {values.min()} to {values.max()}, whose range is not "
                "known; say which values become black and white, such as range=0,255"
            )
        image = np.ascontiguousarray(values[:, :, list(chosen)], np.float32)
        tiff_images.scale_bands(Path(self._where(name)), image, values.dtype, self._bands_of.limits)
        return Picture(imageio.resize(image, size), (values.shape[0], values.shape[1]))

    def head(self, name: str) -> tuple[Size, int]:
        """Size and orientation of a picture."""
        return Source.head(self, name) if self._arrays else super().head(name)

    def _where(self, name: str) -> str:
        shard, row = self._place(self._rows[name])
        return f"{path_tail(shard.path).replace('/', ' ')}, row {row}"

    def names(self) -> tuple[str, ...]:
        """Every row, sorted by name."""
        return tuple(self._rows)

    def content(self, name: str) -> tuple[Path, bytes | None]:
        """Where a row's picture is, for messages, and its bytes."""
        cell = self._cell(name, self._image)
        if not isinstance(cell, bytes):
            raise DatasetError(f"{self._where(name)} holds an array where others hold pictures; write it again")
        return Path(self._where(name)), cell

    def truth(self, name: str) -> Truth:
        """The labels of a row's mask. Raises DatasetError, one line."""
        return self._values.truth(self._mask_values(name), f"the mask of {name}")

    def files(self) -> Iterable[Path]:
        """Shards and tables."""
        yield from (shard.path for shard in self._shards)
        yield from self._tables

    def __getstate__(self) -> dict[str, Any]:
        """For another process: without the lock and what is kept open."""
        for shard in self._shards:
            shard.close()
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_last")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.RLock(), _last=None)


def _stem(path: str | None) -> str:
    return listing.stem(Path(posixpath.basename(path.replace("\\", "/")))) if path and len(path) < 1000 else ""


FORMAT = Format(
    "Hugging Face datasets: parquet files or a save_to_disk folder with columns of images and masks",
    _recognise,
    HuggingFaceSource,
    {
        "image": "the column of pictures",
        "mask": "the column of masks",
        **{name: f"columns of arrays: {text}" for name, text in tiff_images.BAND_OPTIONS.items()},
        "classes": "names of the mask's values from 0, with commas between them",
    },
)
