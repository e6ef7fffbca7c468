"""The .npz files that nnU-Net exports beside its segmentations to the outputs of its images or slices.

Version 2 (nnUNetv2_predict --save_probabilities) writes the key `probabilities`, version 1 (nnUNet_predict --save_npz)
`softmax`. Both are (C, Z, Y, X) with the axes of the image reader, at the spacing of the image: resampling, and in
version 2 cropping, are already undone. 2D images have Z = 1. The pickle beside them is never opened.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

from pipelines.channels import Declaration
from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import DatasetError
from pipelines.imports.readers.arrays import array_shapes, map_array
from pipelines.imports.sources import Files, FileSource, Names, OutputSource, Said, stem
from pipelines.sentences import one_line

KEYS: Final = ("probabilities", "softmax")
_SLICE: Final = re.compile(r"(?P<case>.+)_z(?P<index>\d{4,})")


class _Place(NamedTuple):
    path: Path
    array: str
    slice: int
    size: tuple[int, int]


def recognise(files: Files) -> bool:
    """Whether the first .npz holds one array with a key of nnU-Net's."""
    first = next((path for name, path in files.items() if name.lower().endswith(".npz")), None)
    if first is None:
        return False
    try:
        return tuple(array_shapes(first)) in {(key,) for key in KEYS}
    except DatasetError:
        return False


def open_nnunet(files: Files, said: Said, dataset: Dataset) -> OutputSource:
    """Open the exported .npz of every case; reads headers only. Raises ConfigError or DatasetError."""
    every = dataset.names()
    slices = _slices(every)
    known = Names(every)
    found: list[tuple[str, _Place]] = []
    for name, path in files.items():
        if not name.lower().endswith(".npz"):
            continue
        case = stem(name)
        array, depth, size = _volume(path)
        image = known.image(case)
        if image is not None and depth == 1:
            found.append((case, _Place(path, array, 0, size)))
        else:
            bare = case.rpartition("/")[2]
            found += [(slices.get((bare, z), f"{case}_z{z:04d}"), _Place(path, array, z, size)) for z in range(depth)]
    # Their own key says that these are probabilities.
    return _Volumes(said.declare(values="probabilities"), found, every)


def _slices(images: Iterable[str]) -> dict[tuple[str, int], str]:
    """Images that are slices of a case, by the case's name and the slice's number."""
    matches = ((name, _SLICE.fullmatch(name.rpartition("/")[2])) for name in images)
    return {(match["case"], int(match["index"])): name for name, match in matches if match is not None}


def _volume(path: Path) -> tuple[str, int, tuple[int, int]]:
    """The array's name, its number of slices and their (height, width)."""
    shapes = array_shapes(path)
    array = next((key for key in KEYS if key in shapes), None)
    if array is None:
        raise DatasetError(
            f"{one_line(path.name)} has none of the arrays {' or '.join(KEYS)}; export it with --save_probabilities "
            "(nnU-Net 2) or --save_npz (nnU-Net 1)"
        )
    shape = shapes[array]
    if len(shape) not in (3, 4):
        raise DatasetError(f"{one_line(path.name)} has shape {shape}, expected (C, Z, Y, X); export it again")
    return array, shape[1] if len(shape) == 4 else 1, (shape[-2], shape[-1])


class _Volumes(FileSource[_Place]):
    """Keeps the case that was read last: its slices follow one another."""

    def __init__(self, declaration: Declaration, found: list[tuple[str, _Place]], images: Iterable[str]) -> None:
        super().__init__(declaration, found, images)
        self._case: tuple[Path, NDArray[Any]] | None = None

    def size_of(self, place: _Place) -> tuple[int, int] | None:
        return place.size

    def load(self, place: _Place, item: Item) -> NDArray[Any]:
        if self._case is None or self._case[0] != place.path:
            self._case = None  # frees the file before the next one is unpacked
            self._case = (place.path, map_array(place.path, place.array))
        volume = self._case[1]
        return volume if volume.ndim == 3 else volume[:, place.slice]

    def close(self) -> None:
        self._case = None
