"""Hugging Face `datasets` on disk (parquet shards, or a save_to_disk folder) with image and mask columns, to truth."""

import io
import posixpath
import threading
import warnings
from bisect import bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from pipelines.datasets import imageio, listing
from pipelines.datasets.base import Finding
from pipelines.datasets.format import Format
from pipelines.datasets.formats import json_file
from pipelines.datasets.formats.huggingface.columns import choose, class_names, printable
from pipelines.datasets.formats.huggingface.rows import MAX_ROWS, Shard, open_shard, short, told
from pipelines.datasets.formats.masks.paired_labels import value_labels
from pipelines.datasets.formats.masks.paired_values import MOST, Counts, Seen
from pipelines.datasets.source import Picture, Source, Truth
from pipelines.errors import DatasetError
from pipelines.schema import Split

_STATE: Final = "state.json"
_SUFFIXES: Final = (".parquet", ".arrow")
_DEPTH: Final = 3
_MOST_SHARDS: Final = 10_000
_LOOKED_AT: Final = 10
_KEPT: Final = 200_000  # masks whose values are remembered


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


def _open(root: Path, options: Mapping[str, str]) -> Source:
    return HuggingFaceSource(root, options)


class HuggingFaceSource(Source):
    """Rows of shards. Only pictures inside the shards are read, never files that they name."""

    exclusive = True
    complete = True

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        self.root = root
        self.name = printable(root.name)[:100] or "datasets"
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
        order: tuple[Split, ...] = ("train", "val", "test")
        self.splits = {split: tuple(splits[split]) for split in order if splits.get(split)}
        self._last: Shard | None = None
        names, table = class_names(root, self._shards[0].schema, self._mask, options)
        self._tables += [table] if table is not None else []
        seen = self._look(findings)
        self._values, told_of_labels = value_labels(seen, names)
        self.labels = self._values.labels
        self.findings = (*findings, *told_of_labels)

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
            findings.append(_finding("TWO-KINDS", "warning", problem))
        if len(kept) > _MOST_SHARDS:
            raise DatasetError(f"{self.name} has {len(kept):,} shards, allowed are {_MOST_SHARDS:,}; write larger ones")
        return [(path, listing.split_named(path.stem) or listing.split_of(path, self.root)) for path in kept]

    def _saved(self, folder: Path) -> list[Path]:
        """Arrow files of a folder, as its state.json lists them if it has one."""
        state = listing.child(folder, _STATE)
        if state is None or not state.is_file():
            return list(listing.walk(folder, suffixes=(".arrow",), depth=0))
        self._tables.append(state)
        said = json_file.read_object(state)
        if said.get("_indices_data_files"):
            raise DatasetError(f"{short(state)} picks rows by an index; call flatten_indices() and save the set again")
        rows = said.get("_data_files")
        names = (
            [row.get("filename") if isinstance(row, dict) else None for row in rows]
            if isinstance(rows, list)
            else [None]
        )
        found = {path.name: path for path in listing.walk(folder, suffixes=(".arrow",), depth=0)}
        lost = next((name for name in names if not isinstance(name, str) or name not in found), "")
        if lost != "":
            raise DatasetError(
                f"{short(state)} lists {str(lost)[:80]!r}, which is not beside it; copy the whole folder"
            )
        return [found[name] for name in dict.fromkeys(names) if isinstance(name, str)]

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
        found = {}
        for shard, prefix, start in zip(self._shards, prefixes, self._starts, strict=False):
            for row in range(shard.rows):
                found[f"{prefix}-{counts[prefix]:06d}"] = start + row
                counts[prefix] += 1
        return dict(sorted(found.items()))

    def _look(self, findings: list[Finding]) -> Seen:
        """Values of every mask; each is looked at once in a process."""
        counts: dict[Path, Counts | None] = {}
        lost: list[str] = []
        for name, number in sorted(self._rows.items(), key=lambda one: one[1]):  # as they lie in the files
            shard, row = self._place(number)
            facts = shard.path.stat()
            key = (str(shard.path), facts.st_size, facts.st_mtime_ns, self._mask, row)
            try:
                if key not in _seen:
                    _remember(key, _count(self._mask_values(name)))
                counts[Path(name)] = _seen[key]
            except DatasetError:
                lost.append(name)
        if lost:
            problem = (
                f"{len(lost)} masks cannot be read and named no labels, such as that of {lost[0]}; save them again"
            )
            findings.append(_finding("MASK-UNREADABLE", "warning", problem))
        return Seen(counts, ())

    def _place(self, number: int) -> tuple[Shard, int]:
        index = bisect_right(self._starts, number) - 1
        return self._shards[index], number - self._starts[index]

    def _cell(self, name: str, column: str) -> bytes:
        with self._lock:
            shard, row = self._place(self._rows[name])
            if self._last is not None and self._last is not shard:
                self._last.close()
            self._last = shard
            return shard.read(row, column)

    def _mask_values(self, name: str) -> NDArray[Any]:
        content = self._cell(name, self._mask)
        where = Path(self._where(name))
        if _mode(content) in ("RGB", "RGBA", "LA", "CMYK"):
            grey = imageio.read_grey(where, content=content)
            if grey is not None:
                return grey
        return imageio.read_mask(where, content=content)

    def _where(self, name: str) -> str:
        shard, row = self._place(self._rows[name])
        return f"{short(shard.path).replace('/', ' ')}, row {row}"

    def names(self) -> tuple[str, ...]:
        """Every row, sorted by name."""
        return tuple(self._rows)

    def picture(self, name: str, *, size: tuple[int, int] | None = None) -> Picture:
        """The picture of a row, upright by its EXIF orientation. Raises DatasetError, one line."""
        content = self._cell(name, self._image)
        return Picture(*imageio.read_picture(Path(self._where(name)), size=size, content=content))

    def head(self, name: str) -> tuple[tuple[int, int], int]:
        """Size and orientation of a row's picture, told by its first bytes."""
        return imageio.read_head(Path(self._where(name)), content=self._cell(name, self._image))

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


_Key = tuple[str, int, int, str, int]
_seen: Final[OrderedDict[_Key, Counts | None]] = OrderedDict()
_seen_lock: Final = threading.Lock()


def _remember(key: _Key, counts: Counts | None) -> None:
    """Keep what a mask holds."""
    with _seen_lock:
        _seen[key] = counts
        # Those of the set that is being opened are the newest and more than it can have rows.
        while len(_seen) > _KEPT + MAX_ROWS:
            _seen.popitem(last=False)


def _count(values: NDArray[Any]) -> Counts | None:
    found, counts = np.unique(values, return_counts=True)
    return {int(value): int(count) for value, count in zip(found, counts, strict=True)} if len(found) <= MOST else None


def _stem(path: str | None) -> str:
    return listing.stem(Path(posixpath.basename(path.replace("\\", "/")))) if path and len(path) < 1000 else ""


def _mode(content: bytes) -> str | None:
    """Pillow's mode of an encoded picture, told by its head; None when Pillow cannot tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=imageio.FORMATS) as picture:
                return picture.mode
    except Exception:  # the head of a damaged file raises anything; reading it whole says what is wrong
        return None


def _finding(code: str, severity: Any, message: str) -> Finding:
    return Finding(code=code, severity=severity, message=message)


FORMAT = Format(
    "Hugging Face datasets: parquet files or a save_to_disk folder with columns of images and masks",
    _recognise,
    _open,
    {
        "image": "the column of pictures",
        "mask": "the column of masks",
        "classes": "names of the mask's values from 0, with commas between them",
    },
)
