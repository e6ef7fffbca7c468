"""Predictions parquet of a run, or of our writer in somebody's own code, to logits; nothing in it is trusted.

docs/predictions-contract.md says what the files hold.
"""

import atexit
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Annotated, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from pipelines import heads
from pipelines.arrays import BoolArray, Float32Array
from pipelines.channels import Activation, Declaration, align
from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import ConfigError, DatasetError
from pipelines.heads import HeadSpec
from pipelines.imports.sources import Files, FileSource, OutputSource, Said, named
from pipelines.sandbox import Sandbox, SandboxError
from pipelines.schema import BACKGROUND_CHANNEL, channel_column, log_odds_column, truth_column
from pipelines.sentences import one_line
from pipelines.store.manifest import check_source

SUFFIX: Final = ".parquet"
MAX_PIXELS: Final = 2**28  # of one image
_SLACK_BYTES: Final = 2**20  # of page headers and statistics in one column of one image
_OF_NUMBERS: Final = ("FIXED_LEN_BYTE_ARRAY", "BOOLEAN")  # how parquet stores float16 and bool
_Side = Annotated[int, Field(ge=1, le=65_535)]
_IMAGES: Final = TypeAdapter(list[tuple[str, _Side, _Side]])
_DAMAGE: Final = (OSError, pa.ArrowException, ValueError, TypeError, LookupError, OverflowError, MemoryError)


class _Part(NamedTuple):
    file: pq.ParquetFile
    path: Path
    name: str
    columns: frozenset[str]


class _Group(NamedTuple):
    """One image: a row group of a part."""

    part: _Part
    number: int
    height: int
    width: int


def recognise(files: Files) -> bool:
    """Whether there are parquet files."""
    return any(name.lower().endswith(SUFFIX) for name in files)


def open_parquet(files: Files, said: Said, dataset: Dataset) -> OutputSource:
    """Open the parts of one head and seed; reads their footers only, unless they lie in a run.

    Raises ConfigError or DatasetError, and RunError when they are not what the run's manifest says.
    """
    paths = [path for name, path in files.items() if name.lower().endswith(SUFFIX)]
    parts = []
    try:
        for path in paths:
            check_source(path)
            parts.append(_open(path, said))
        specs = {spec for _, spec, _ in parts}
        if len(specs) != 1:
            raise DatasetError("these parquet files are of different heads; give the folder of one head")
        spec = specs.pop()
        shifted = all("logsumexp" in part.columns for part, _, _ in parts)
        found = [(name, group) for _, _, groups in parts for name, group in groups]
        declaration = said.declare(values="logits", channels=spec.channels)
        if BACKGROUND_CHANNEL in spec.channels:
            declaration = declaration.model_copy(update={"background": BACKGROUND_CHANNEL})
        return _Predictions(declaration, found, dataset, spec=spec, keeps_shift=shifted or not spec.is_softmax)
    except BaseException:
        for part, _, _ in parts:
            part.file.close()
        raise


def _open(path: Path, said: Said) -> tuple[_Part, HeadSpec, list[tuple[str, _Group]]]:
    """One part with its head and images, everything checked that the footer tells."""
    name = one_line("/".join(path.parts[-2:]))
    if not can_be_read(path):
        raise DatasetError(f"{name} has a damaged footer (its tables contradict each other); copy or write it again")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True, arrow_extensions_enabled=False)
    except _DAMAGE as error:
        raise DatasetError(
            f"{name} is damaged or no parquet ({one_line(str(error))}); copy or write it again"
        ) from None
    try:
        metadata = file.schema_arrow.metadata or {}
        spec = _spec(metadata, name, said)
        _check_columns(file.schema_arrow, spec, name)
        listed = (file.metadata.metadata or {}).get(b"images")
        if listed is None:
            raise DatasetError(f"{name} does not list its images; write it with pipelines.store.PredictionsFile")
        images = _IMAGES.validate_json(listed)
        part = _Part(file, path, name, frozenset(file.schema_arrow.names))
        _check_groups(file, images, name)
        return part, spec, [(image, _Group(part, n, height, width)) for n, (image, height, width) in enumerate(images)]
    except ValidationError as error:
        file.close()
        raise DatasetError(f"{name} has a broken list of images ({_first(error)}); write it again") from None
    except _DAMAGE as error:
        file.close()
        raise DatasetError(f"{name} cannot be read ({one_line(str(error))}); write it again") from None
    except BaseException:
        file.close()
        raise


def _spec(metadata: Mapping[bytes, bytes], name: str, said: Said) -> HeadSpec:
    """The head a file is said to be of, rebuilt from its names so that its parts cannot contradict each other."""
    try:
        stated = HeadSpec.model_validate_json(metadata[b"head"])
        activation: Activation = "sigmoid" if stated.head == "sigmoid" else "softmax"
        declared = Declaration(head=activation, values="logits", classes=stated.channels)
        spec = align(declared, stated.head, kind=stated.kind, classes=stated.classes).spec
    except KeyError:
        raise DatasetError(
            f"{name} does not say which head it is of; write it with pipelines.store.PredictionsFile"
        ) from None
    except (ValidationError, ConfigError) as error:
        why = _first(error) if isinstance(error, ValidationError) else str(error)
        raise DatasetError(f"{name} describes no head ({one_line(why)}); write it again") from None
    if spec.channels != stated.channels:
        raise DatasetError(f"{name} lists its channels in no order of ours ({named(stated.channels)}); write it again")
    if spec.head != said.head:
        raise ConfigError(
            f"{name} holds outputs of {spec.head}, not of {said.head}; give it with --{spec.layer.option}"
        )
    return spec


def _check_columns(schema: pa.Schema, spec: HeadSpec, name: str) -> None:
    """Raise DatasetError unless the columns are there, once each and of the contract's types."""
    wanted = {log_odds_column(one): pa.float16() for one in spec.classes}
    wanted |= {channel_column(one): pa.float16() for one in spec.extra_channels}
    optional = {truth_column(one): pa.bool_() for one in spec.classes} | {
        "valid": pa.bool_(),
        "logsumexp": pa.float16(),
    }
    for column, kind in (wanted | optional).items():
        places = schema.get_all_field_indices(column)
        if (column in wanted and not places) or len(places) > 1:
            raise DatasetError(f"{name} has {len(places)} columns {one_line(column)}, expected one; write it again")
        if places and schema.field(places[0]).type != kind:
            raise DatasetError(
                f"column {one_line(column)} of {name} is {one_line(str(schema.field(places[0]).type))}, expected "
                f"{kind}; write it again"
            )


def _check_groups(file: pq.ParquetFile, images: list[tuple[str, int, int]], name: str) -> None:
    """Raise DatasetError unless each image is a row group of its size that takes no more memory than it should."""
    if file.metadata.num_row_groups != len(images):
        raise DatasetError(
            f"{name} has {file.metadata.num_row_groups} row groups for {len(images)} images; write one an image"
        )
    for number, (image, height, width) in enumerate(images):
        group = file.metadata.row_group(number)
        if group.num_rows != height * width or group.num_rows > MAX_PIXELS:
            raise DatasetError(
                f"{one_line(image)} in {name} has {group.num_rows:,} rows for {width}×{height} pixels (at most "
                f"{MAX_PIXELS:,}); write one row a pixel"
            )
        for column in range(group.num_columns):
            chunk = group.column(column)
            size, of_numbers = chunk.total_uncompressed_size, chunk.physical_type in _OF_NUMBERS
            if of_numbers and size > _most_bytes(group.num_rows):
                raise DatasetError(_too_many_bytes(name, size, group.num_rows))


def _check_pages(place: _Group, names: Sequence[str]) -> None:
    """Raise DatasetError when the pages of these columns unpack to more than they may, whatever the footer says."""
    part, number, height, width = place
    group, wanted = part.file.metadata.row_group(number), set(names)
    with part.path.open("rb") as file:
        for column in range(group.num_columns):
            chunk = group.column(column)
            if chunk.path_in_schema not in wanted:
                continue
            start = min(at for at in (chunk.dictionary_page_offset, chunk.data_page_offset) if at)
            size = unpacked_bytes(file, start, chunk.total_compressed_size)
            if size > _most_bytes(height * width):
                raise DatasetError(_too_many_bytes(part.name, size, height * width))


def _most_bytes(rows: int) -> int:
    """Bytes that a column of numbers may take unpacked: its values and, at worst, a dictionary of as many."""
    return 4 * rows + _SLACK_BYTES


def _too_many_bytes(name: str, size: int, rows: int) -> str:
    return f"{name} unpacks to {size:,} bytes a column, too many for the {rows:,} rows of an image; write it again"


class _Predictions(FileSource[_Group]):
    def __init__(
        self,
        declaration: Declaration,
        found: list[tuple[str, _Group]],
        dataset: Dataset,
        *,
        spec: HeadSpec,
        keeps_shift: bool,
    ) -> None:
        super().__init__(declaration, found, dataset.names())
        self._classes = dataset.classes
        self._spec, self.keeps_shift = spec, keeps_shift
        self._other_truth: list[str] = []

    def size_of(self, place: _Group) -> tuple[int, int] | None:
        return place.height, place.width

    def load(self, place: _Group, item: Item) -> NDArray[Any]:
        part, _, height, width = place
        wanted = [log_odds_column(name) for name in self._spec.classes]
        wanted += [channel_column(name) for name in self._spec.extra_channels]
        extras: list[str] = [name for name in ("logsumexp", "valid") if name in part.columns]
        truths = [truth_column(name) for name in self._spec.classes]
        extras += truths if part.columns.issuperset(truths) else []
        try:
            _check_pages(place, [*wanted, *extras])
            table = part.file.read_row_group(place.number, columns=[*wanted, *extras], use_threads=False)
            if table.num_rows != height * width or any(table[name].null_count for name in table.column_names):
                raise DatasetError(f"{one_line(item.name)} in {part.name} lacks values; write it again")
            columns = {name: table[name].to_numpy().reshape(height, width) for name in table.column_names}
        except _DAMAGE as error:
            raise DatasetError(
                f"{one_line(item.name)} in {part.name} is damaged ({one_line(str(error))}); copy or write it again"
            ) from None
        self._compare_truth(columns, item)
        count = len(self._spec.classes)
        stored = np.stack([columns[name] for name in wanted]).astype(np.float32)
        return _logits(self._spec, stored[:count], stored[count:], columns.get("logsumexp"))

    def _compare_truth(self, columns: Mapping[str, NDArray[Any]], item: Item) -> None:
        names = [truth_column(name) for name in self._classes]
        if not {"valid", *names} <= set(columns) or columns["valid"].shape != item.valid.shape:
            return  # another size is told as such
        theirs = np.stack([columns[name] for name in names])
        same: BoolArray = (theirs == item.truth).all(axis=0) | ~item.valid
        if not same.all() or not np.array_equal(columns["valid"], item.valid):
            self._other_truth.append(item.name)

    def findings(self) -> tuple[dict[str, str], ...]:
        if not self._other_truth:
            return super().findings()
        message = (
            f"{len(self._other_truth)} images carry another truth in these files than in the data set "
            f"({named(self._other_truth[:10])}); the data set's counts; make sure that it is the right one"
        )
        self._other_truth = []
        return (*super().findings(), {"code": "TRUTH-DIFFERS", "severity": "warning", "message": message})

    def close(self) -> None:
        for group in self._places.values():
            group.part.file.close()


def _logits(
    spec: HeadSpec, log_odds: Float32Array, extra: Float32Array, logsumexp: NDArray[Any] | None
) -> Float32Array:
    """Logits from what is stored; a softmax's up to a shift where that is not known."""
    if not spec.is_softmax:
        return log_odds
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told by the check
        log_p = heads.channel_log_probs(spec, log_odds, extra)
        return log_p if logsumexp is None else log_p + logsumexp.astype(np.float32)


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'list'}: {first['msg']}"


# Footers --------------------------------------------------------------------------------------------------------------

# Arrow's library ends the process on some footers: what it cannot bear, such as level histograms of the wrong length,
# is thrown in C++ where Python has no hold of it (seen with pyarrow 26). So they are read first in a process that
# serves all files and is started anew when a footer has ended it.
_FOOTER_SECONDS: Final = 60.0
_FOOTER_READER: Final = """
import pyarrow.parquet as pq
def read(question, _):
    try:
        with pq.ParquetFile(question["path"], arrow_extensions_enabled=False) as file:
            for number in range(file.metadata.num_row_groups):
                group = file.metadata.row_group(number)
                for column in range(group.num_columns):
                    group.column(column)
    except Exception:
        pass  # is told by whoever reads the file next
    return {}, b""
serve(read)
"""
_footers: Final[list[Sandbox]] = []  # the one process, once it is needed
_footers_lock: Final = threading.Lock()


def can_be_read(path: Path) -> bool:
    """Whether a parquet file's footer can be read without ending the process; damage that can be told is no matter."""
    with _footers_lock:
        if not _footers or not _footers[0].alive:
            _footers[:] = [Sandbox(_FOOTER_READER)]
            atexit.register(_footers[0].close)
        try:
            _footers[0].ask({"path": str(path.resolve())}, seconds=_FOOTER_SECONDS)
        except SandboxError:
            return False
    return True


# Pages ----------------------------------------------------------------------------------------------------------------

# The headers of a column's pages say how many bytes they unpack to, which the file's own table need not tell truly, and
# Arrow makes room for what a page claims before it unpacks it. Headers are Thrift's compact protocol; see the Parquet
# format, PageHeader: field 2 is the unpacked size, field 3 the packed one.
_HEADER_BYTES: Final = 2**16  # a header with its statistics; Arrow itself gives up at 16 MB
_MOST_PAGES: Final = 100_000
_DEPTH: Final = 16  # structs within each other
_UNPACKED, _PACKED = 2, 3  # numbers of fields
_BOOL, _BYTE, _DOUBLE, _BINARY, _STRUCT = (1, 2), 3, 7, 8, 12  # types in compact protocol
_INTEGERS, _LISTS, _MAP = (4, 5, 6), (9, 10), 11


def unpacked_bytes(file: IO[bytes], start: int, length: int) -> int:
    """Bytes that the pages of a column chunk unpack to together. start, length: where the chunk lies in the file.

    Raises ValueError or IndexError for headers that make no sense.
    """
    end, total = start + length, 0
    for _ in range(_MOST_PAGES):
        if start >= end:
            return total
        file.seek(start)
        header = _Compact(file.read(min(_HEADER_BYTES, end - start)))
        fields = header.struct()
        unpacked, packed = fields[_UNPACKED], fields[_PACKED]
        if unpacked < 0 or packed < 0:
            raise ValueError(f"a page claims {unpacked:,} bytes, packed into {packed:,}")
        total += unpacked
        start += header.at + packed
    raise ValueError(f"a column has more than {_MOST_PAGES:,} pages")


class _Compact:
    """Bytes in compact protocol, read from the front; keeps integers of the outermost struct, steps over all else."""

    def __init__(self, content: bytes) -> None:
        self._content, self.at = content, 0

    def struct(self, depth: int = 0) -> dict[int, int]:
        """Integer fields by number."""
        if depth > _DEPTH:
            raise ValueError("a page's header is nested too deep")
        fields: dict[int, int] = {}
        number = 0
        while (head := self._byte()) != 0:
            step, kind = head >> 4, head & 15
            number = number + step if step else self._integer()
            if kind in _INTEGERS:
                fields[number] = self._integer()
            elif kind not in _BOOL:  # a bool is its type
                self._skip(kind, depth)
        return fields

    def _skip(self, kind: int, depth: int) -> None:
        if kind in _INTEGERS:
            self._integer()
        elif kind == _BYTE or kind in _BOOL:
            self._byte()
        elif kind == _DOUBLE:
            self._pass(8)
        elif kind == _BINARY:
            self._pass(self._unsigned())
        elif kind == _STRUCT:
            self.struct(depth + 1)
        elif kind in _LISTS:
            head = self._byte()
            count = head >> 4 if head >> 4 != 15 else self._unsigned()
            for _ in range(count):
                self._skip(head & 15, depth + 1)
        elif kind == _MAP:
            raise ValueError("a page's header holds a map, which none does")
        else:
            raise ValueError(f"a page's header holds the unknown type {kind}")

    def _pass(self, count: int) -> None:
        self.at += count
        if self.at > len(self._content):
            raise IndexError("a page's header is cut short")

    def _byte(self) -> int:
        if self.at >= len(self._content):
            raise IndexError("a page's header is cut short")
        self.at += 1
        return self._content[self.at - 1]

    def _unsigned(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number in a page's header is too long")

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)  # zigzag
