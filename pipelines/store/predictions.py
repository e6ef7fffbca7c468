"""Logits of images to predictions parquet, one row a pixel and one row group an image, and back; and previews."""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipelines import heads
from pipelines.arrays import BoolArray, Float16Array, Float32Array
from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.observers import compare
from pipelines.errors import RunError, ShapeError
from pipelines.heads import HeadSpec
from pipelines.layouts import OBSERVERS_SCHEMA, predictions_schema
from pipelines.misuse import MisuseCheck, head_check
from pipelines.schema import Split, channel_column, log_odds_column, soft_column, truth_column
from pipelines.store import files
from pipelines.store.counts import Recent
from pipelines.store.files import observers_file, previews_file

# Files opened again --------------------------------------------------------------------------------------------------
#
# The footer of a file with a row group an image takes longer to read than an image: 15 µs for each of them.

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
        stat = path.stat()
    except OSError:
        return _read(path).metadata  # which says what is wrong
    key = (path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    footer: _Footer = _FOOTERS.get(key, lambda: _read(path))
    return footer.metadata


def _read(path: Path) -> _Footer:
    with files.open_parquet(path) as file:
        return _Footer(file.metadata)


# Predictions ---------------------------------------------------------------------------------------------------------

LARGEST_SIDE = 65_535  # x and y are uint16
_NONE = "there are no predictions in {}; run predict first"


class Prediction(NamedTuple):
    """One image of one head.

    truth: (C, H, W) bool; valid: (H, W) bool; log_odds: (C, H, W) float16; extra: (E, H, W) float16, log-odds of the
    channels that are not classes; logsumexp: (H, W) float16, None for sigmoid and
    where the shift of a softmax's logits is not known. soft: (C, H, W) float16 in [0, 1], how probable each class is by
    the truth; None where the truth is hard.
    """

    image: str
    truth: BoolArray
    valid: BoolArray
    log_odds: Float16Array
    extra: Float16Array
    logsumexp: Float16Array | None
    soft: Float16Array | None = None


class PredictionWriter(files.Writer):
    """Writes a part-*.parquet in a folder; the part appears under its name only when `close` has succeeded.

    Logits that look like something else, such as probabilities, are written all the same and noted in the part.
    check: what notes it; None for one over the logits. One that is given is fed by the caller.
    knows_shift: whether a softmax's logits are the network's own. Where only their differences are known, as from
    probabilities, nothing that hangs on their shift is stored. with_truth: False leaves out truth and valid; such a
    part can be imported, but is none of a run. soft: whether a soft truth comes with the hard one. part: its number.
    """

    def __init__(
        self,
        folder: Path,
        spec: HeadSpec,
        *,
        check: MisuseCheck | None = None,
        knows_shift: bool = True,
        with_truth: bool = True,
        soft: bool = False,
        part: int = 0,
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._file = files.TableWriter(folder / f"part-{part:05d}.parquet")
        # Without the exclusive softmax's shift its reading by sigmoids is not known; other kinds have a background.
        self._with_sum = spec.is_softmax and (knows_shift or spec.kind != "exclusive")
        layout = predictions_schema(
            spec.classes, extra_channels=spec.extra_channels, logsumexp=self._with_sum, soft=soft
        )
        if not with_truth:
            layout = pa.schema([field for field in layout if not field.name.startswith(("valid", truth_column("")))])
        self._with_truth, self._with_soft = with_truth, soft
        self._schema = layout.with_metadata({"head": spec.model_dump_json()})
        self._images: list[tuple[str, int, int]] = []
        self._own_check = check is None
        self._notes: list[dict[str, str]] = []
        self._check = check or head_check(spec)

    def write(
        self,
        image: str,
        logits: Float32Array,
        truth: BoolArray | None,
        valid: BoolArray,
        soft: Float32Array | None = None,
    ) -> None:
        """Add one image.

        logits: (K, H, W) float32 in the head's channel order; truth: (C, H, W) bool, None in a part without truth;
        valid: (H, W) bool; soft: (C, H, W) float32 in [0, 1] in a part with soft truth.
        Raises ShapeError on other shapes or logits that are not numbers, RunError when the disk refuses.
        """
        height, width = valid.shape
        if truth is None and self._with_truth:
            raise ShapeError(f"{image} comes without truth; give it, or open the part with_truth=False")
        known = np.shape(truth) if truth is not None else (len(self._spec.classes), height, width)
        if logits.shape[1:] != valid.shape or known != (len(self._spec.classes), height, width):
            raise ShapeError(f"{image}: logits {logits.shape}, truth {known} and valid {valid.shape} do not fit")
        if not 0 < height <= LARGEST_SIDE or not 0 < width <= LARGEST_SIDE:
            raise ShapeError(
                f"{image} is {width}×{height}; sides must be 1 to {LARGEST_SIDE} pixels, cut it into tiles"
            )
        if (soft is not None) != self._with_soft or (soft is not None and soft.shape != known):
            got = "none" if soft is None else soft.shape
            raise ShapeError(f"{image}: soft truth must be {known if self._with_soft else 'none'}, got {got}")
        table = self._table(image, logits, truth, valid, soft)
        # float16 stays plain: DuckDB refuses BYTE_STREAM_SPLIT on it
        self._file.add(table, row_group_size=height * width, use_dictionary=["image"])
        self._images.append((image, height, width))
        if self._own_check:
            self._check.add(logits)

    def note(self, finding: Mapping[str, str]) -> None:
        """Add to what the part tells about its outputs. finding: code, severity, message."""
        self._notes.append(dict(finding))

    def _table(
        self, image: str, logits: Float32Array, truth: BoolArray | None, valid: BoolArray, soft: Float32Array | None
    ) -> pa.Table:
        height, width = valid.shape
        n = height * width
        columns: list[pa.Array] = [
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([image])),
            pa.array(np.repeat(np.arange(height, dtype=np.uint16), width)),
            pa.array(np.tile(np.arange(width, dtype=np.uint16), height)),
        ]
        if self._with_truth and truth is not None:
            columns += [pa.array(mask.reshape(-1)) for mask in (valid, *truth)]
        columns += [] if soft is None else _half(soft)
        columns += _half(heads.log_odds(self._spec, logits))
        columns += _half(heads.extra_log_odds(self._spec, logits))
        if self._with_sum:
            columns += _half(heads.logsumexp(logits)[None])
        return pa.Table.from_arrays(columns, schema=self._schema)

    def close(self) -> None:
        """Finish the part and give it its name. Raises RunError when there is no image or the disk refuses."""
        findings = [*(finding.model_dump() for finding in self._check.findings()), *self._notes]
        if not self._images:
            self._file.discard()
            raise RunError(f"{self._folder.name}: no image to predict; the split is empty")
        self._file.close(images=json.dumps(self._images), findings=json.dumps(findings))

    def discard(self) -> None:
        """Leave nothing behind."""
        self._file.discard()


def _half(values: Float32Array) -> list[pa.Array]:
    return [pa.array(row.reshape(-1).astype(np.float16)) for row in values]


def spec_of(folder: Path, parts: Sequence[Path]) -> HeadSpec:
    """The head whose predictions a folder holds. Raises RunError where they are missing or lack their description."""
    if not parts:
        raise RunError(_NONE.format(folder.name))
    with files.reading(parts[0]):
        return HeadSpec.model_validate_json(footer_of(parts[0]).metadata[b"head"])


class PredictionReader:
    """Reads the predictions of one split, head and seed, one image at a time.

    parts: their files; None for all that are in the folder. Raises RunError when one is missing or damaged.
    """

    def __init__(
        self,
        folder: Path,
        *,
        parts: Sequence[Path] | None = None,
        open_part: Callable[[Path], pq.ParquetFile] = files.open_parquet,
    ) -> None:
        paths = sorted(folder.glob("part-*.parquet")) if parts is None else parts
        if not paths:
            raise RunError(_NONE.format(folder.name))
        self._parts: list[pq.ParquetFile] = []
        # What the writer noticed about the logits: codes, severities and sentences of docs/misuse.md.
        self.findings: list[dict[str, str]] = []
        self._place: dict[str, tuple[Path, pq.ParquetFile, int, int, int]] = {}
        for path in paths:
            part = open_part(path)
            self._parts.append(part)
            with files.reading(path):
                notes = part.metadata.metadata
                if path == paths[0]:
                    self.spec = HeadSpec.model_validate_json(part.schema_arrow.metadata[b"head"])
                self.findings += json.loads(notes.get(b"findings", b"[]"))
                for group, (name, height, width) in enumerate(json.loads(notes[b"images"])):
                    self._place[name] = (path, part, group, height, width)

    @property
    def soft(self) -> bool:
        """Whether they have a soft truth beside the hard one."""
        return all(set(map(soft_column, self.spec.classes)) <= set(part.schema_arrow.names) for part in self._parts)

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the images, in file order."""
        return tuple(self._place)

    def read(self, image: str) -> Prediction:
        """One image, from its own row group. Raises RunError when it is not there or damaged."""
        path, part, group, height, width = self._where(image)
        spec, shape = self.spec, (-1, height, width)
        names = [truth_column(name) for name in spec.classes] + [log_odds_column(name) for name in spec.classes]
        extras = [channel_column(name) for name in spec.extra_channels]
        last = ["logsumexp"] if "logsumexp" in part.schema_arrow.names else []
        soft = [soft_column(name) for name in spec.classes if soft_column(name) in part.schema_arrow.names]
        with files.reading(path):
            table = part.read_row_group(group, columns=["valid", *names, *extras, *last, *soft])
            columns = {name: table[name].to_numpy() for name in table.column_names}
            count = len(spec.classes)
            empty = np.empty((0, height, width), np.float16)
            return Prediction(
                image=image,
                truth=np.stack([columns[name] for name in names[:count]]).reshape(shape),
                valid=columns["valid"].reshape(height, width),
                log_odds=np.stack([columns[name] for name in names[count:]]).reshape(shape),
                extra=np.stack([columns[name] for name in extras]).reshape(shape) if extras else empty,
                logsumexp=columns["logsumexp"].reshape(height, width) if last else None,
                soft=np.stack([columns[name] for name in soft]).reshape(shape) if soft else None,
            )

    def valid(self, image: str) -> BoolArray:
        """Which pixels of an image count, (H, W) bool, without reading the rest of it."""
        path, part, group, height, width = self._where(image)
        with files.reading(path):
            return part.read_row_group(group, columns=["valid"])["valid"].to_numpy().reshape(height, width)

    def _where(self, image: str) -> tuple[Path, pq.ParquetFile, int, int, int]:
        if image not in self._place:
            raise RunError(
                f"there is no image {image} in these predictions; choose one of the {len(self._place)} listed"
            )
        return self._place[image]

    def __iter__(self) -> Iterator[Prediction]:
        return (self.read(image) for image in self._place)

    def close(self) -> None:
        """Close the files."""
        for part in self._parts:
            part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# Previews ------------------------------------------------------------------------------------------------------------

_SCHEMA = pa.schema([pa.field("image", pa.string(), nullable=False), pa.field("jpeg", pa.binary(), nullable=False)])


class PreviewWriter(files.TableWriter):
    """Writes one row and row group an image."""

    def write(self, name: str, image: Float32Array) -> None:
        """Add one image, (H, W, 3) float32 in [0, 1]."""
        buffer = io.BytesIO()
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
        self.add(pa.table({"image": [name], "jpeg": [buffer.getvalue()]}, schema=_SCHEMA))


# Images of a split, kept once for all heads and seeds ----------------------------------------------------------------


class ImagesWriter(files.Writer):
    """Writes what a run keeps of the images of a split beside predictions: previews, and what observers marked of them.

    Does nothing where the pass of another seed has done it.
    """

    def __init__(self, folder: Path, dataset: Dataset, split: Split) -> None:
        previews = folder / previews_file(split)
        self._previews = None if previews.exists() else PreviewWriter(previews)
        self._observers: files.TableWriter | None = None
        self._place, self._classes, self._one_of = folder / observers_file(split), dataset.classes, None
        self._bands = dataset.bands
        if dataset.kind == "exclusive":  # the background last
            self._one_of = sorted(range(len(dataset.classes)), key=lambda c: dataset.classes[c] == dataset.background)

    def write(self, item: Item) -> None:
        """Add one image. Raises RunError when the disk refuses."""
        if self._previews is None:
            return
        self._previews.write(item.name, self._bands.picture(item.image))
        # A pixel that does not count is nobody's, but the majority of classes that exclude each other would be one's.
        marked = {who: layers[:, item.valid] for who, layers in item.observers.items()}
        rows = [{"image": item.name, **row} for row in compare(marked, self._classes, one_of=self._one_of)]
        if rows:
            self._observers = self._observers or files.TableWriter(self._place)
            self._observers.add(pa.Table.from_pylist(rows, schema=OBSERVERS_SCHEMA))

    def close(self) -> None:
        """Finish the files, the previews last, which say that all is there."""
        for writer in (self._observers, self._previews):
            if writer is not None:
                writer.close()

    def discard(self) -> None:
        """Leave nothing behind."""
        for writer in (self._observers, self._previews):
            if writer is not None:
                writer.discard()
