"""Grey images, one a class and image (<class>/<image>.png or .tif), to probabilities; of one class, of any folder."""

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from pipelines.channels import Declaration
from pipelines.datasets import imageio
from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import DatasetError, ShapeError
from pipelines.imports.sources import Files, FileSource, OutputSource, Said, named, stem
from pipelines.misuse import NO_LABELS
from pipelines.sentences import one_line, path_tail

SUFFIXES: Final = (".png", ".tif", ".tiff")
_DAMAGE: Final = (
    *(OSError, ValueError, TypeError, LookupError, EOFError, RuntimeError, OverflowError, MemoryError),
    *(AttributeError, ArithmeticError, struct.error, zlib.error),
)


def recognise(files: Files) -> bool:
    """Whether there are images in folders, which then are called after the classes, or nothing but images."""
    images = [name for name in files if name.lower().endswith(SUFFIXES)]
    return any("/" in name for name in images) or 0 < len(images) == len(files)


def open_maps(files: Files, said: Said, dataset: Dataset) -> OutputSource:
    """Open a folder of maps; reads names only. Raises ConfigError or DatasetError, naming what a class lacks."""
    by_class = _by_folder(files)
    wanted = said.classes or (dataset.classes if said.head == "sigmoid" else ())
    if len(by_class) == 1 and not set(by_class) <= set(wanted or dataset.classes):  # maps of one class, or label maps
        (maps,) = by_class.values()
        if len(wanted) != 1:
            raise DatasetError(_of_several(maps, dataset.classes))
        by_class = {wanted[0]: maps}
    if not by_class:
        raise DatasetError("there is no <class>/<image>.png or .tif; put the maps of each class into its own folder")
    declaration = said.declare(channels=said.classes if set(said.classes or ()) == set(by_class) else tuple(by_class))
    keys = sorted(set().union(*by_class.values()))
    lacking = [f"{name}/{key}" for name, maps in by_class.items() for key in keys if key not in maps]
    if lacking:
        raise DatasetError(f"OUTPUT-MISSING: there is no map {named(lacking)}; bring one a class of every image")
    found = [(key, tuple(by_class[name][key] for name in declaration.classes)) for key in keys]
    return _Maps(declaration, found, dataset.names())


def _by_folder(files: Files) -> dict[str, dict[str, Path]]:
    """The maps of each folder, "" of those in none, by the image they are called after."""
    found: dict[str, dict[str, Path]] = {}
    for name, path in files.items():
        folder, _, rest = name.rpartition("/")
        if rest.lower().endswith(SUFFIXES):
            before, _, called = folder.rpartition("/")
            key = stem(f"{before}/{rest}" if before else rest)
            if key in found.setdefault(called, {}):
                raise DatasetError(f"OUTPUT-TWICE: {one_line(called)} has two maps of {one_line(key)}; keep one")
            found[called][key] = path
    if len(found) > 1:
        found.pop("", None)  # beside the folders of classes
    return found


def _of_several(maps: Mapping[str, Path], classes: Sequence[str]) -> str:
    """Why one image for several classes is not read."""
    path = next(iter(maps.values()))
    try:
        values = imageio.read_mask(path) if path.suffix.lower() == ".png" else _read_tiff(path)
        few = values.dtype.kind in "iub" and len(np.unique(values)) <= len(classes) + 2  # background, and ignored
    except DatasetError:
        few = False
    if few:
        return f"LABEL-MAP: {path_tail(path)} holds labels, one a pixel, of {named(classes)}; {NO_LABELS}"
    return (
        f"{path_tail(path)} is one image for {named(classes)}; bring a grey image of each class, in a folder called "
        "after it: <class>/<image>.png or .tif"
    )


class _Maps(FileSource[tuple[Path, ...]]):
    def __init__(
        self, declaration: Declaration, found: list[tuple[str, tuple[Path, ...]]], images: Iterable[str]
    ) -> None:
        super().__init__(declaration, found, images)
        self._coarse = 0.0  # largest step seen

    def size_of(self, place: tuple[Path, ...]) -> tuple[int, int] | None:
        """Of the largest map."""
        return max((map_size(path) for path in place), key=lambda size: size[0] * size[1])

    def load(self, place: tuple[Path, ...], item: Item) -> NDArray[Any]:
        maps = [read_map(path, logits=self.declaration.values == "logits") for path in place]
        if len({values.shape for values, _ in maps}) != 1:
            told = ", ".join(
                f"{path.parent.name} {v.shape[1]}×{v.shape[0]}" for path, (v, _) in zip(place, maps, strict=True)
            )
            raise ShapeError(f"the maps of {one_line(item.name)} have different sizes ({told}); save them at one")
        self.step = max(step for _, step in maps)
        self._coarse = max(self._coarse, self.step)
        return np.stack([values for values, _ in maps])

    def findings(self) -> tuple[dict[str, str], ...]:
        if self._coarse < 1 / 1000:
            return super().findings()
        message = (
            f"the declared {self.declaration.what} come from maps with {1 / self._coarse + 1:.0f} grey values: p is "
            f"known to {self._coarse / 2:.1g} only, so NLL and the calibration of rare classes are blunted at both "
            "ends; save 16-bit or floating-point maps"
        )
        return (*super().findings(), {"code": "COARSE", "severity": "warning", "message": message})


def read_map(path: Path, *, logits: bool = False) -> tuple[NDArray[Any], float]:
    """One grey image as values, (H, W), and the step between two of them, 0 for floating point.

    8- and 16-bit values are divided by 255 and 65535, floating-point ones are taken as they are.
    Raises DatasetError for a damaged, coloured or too large file, and for whole numbers that are said to be logits.
    """
    values = _read_tiff(path) if path.suffix.lower() != ".png" else _read_png(path)
    if values.dtype.kind == "f":
        return values, 0.0
    if values.dtype not in (np.uint8, np.uint16):
        raise DatasetError(f"{path_tail(path)} holds {values.dtype} values; save 8 or 16 bits without sign, or float32")
    if logits:
        raise DatasetError(
            f"{path_tail(path)} holds whole numbers, but is said to hold logits; save float32 TIFF, or declare "
            "probabilities"
        )
    top = float(np.iinfo(values.dtype).max)
    return values.astype(np.float64) / top, 1 / top


def map_size(path: Path) -> tuple[int, int]:
    """(height, width) of a grey image, from its header. Raises DatasetError for a damaged file."""
    try:
        if path.suffix.lower() != ".png":
            with tifffile.TiffFile(path) as file:
                shape = file.pages[0].shape
            grey = len(shape) == 2 and all(isinstance(side, int) for side in shape)
            return (shape[0], shape[1]) if grey else (0, 0)  # what it is instead is told when it is read
        with path.open("rb") as file:
            start = file.read(24)
        width, height = struct.unpack(">II", start[16:24])  # signature 8, length 4, IHDR 4, width 4, height 4
        return height, width
    except _DAMAGE as error:
        kind = "PNG" if path.suffix.lower() == ".png" else "TIFF"
        raise DatasetError(
            f"{path_tail(path)} is damaged or no {kind} ({one_line(str(error))}); save it again"
        ) from None


def _read_png(path: Path) -> NDArray[Any]:
    """Stored values of a grey PNG: palettes and 1, 2 or 4 bits have no known range."""
    values = imageio.read_mask(path)
    with Image.open(path) as picture:
        mode = picture.mode
    if mode == "P" or mode == "1" or (mode == "L" and _depth(path) != 8):
        raise DatasetError(f"{path_tail(path)} has a palette or fewer than 8 bits; save it as 8- or 16-bit grey")
    return values


def _depth(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[24]  # signature 8, length 4, IHDR 4, width 4, height 4, bit depth


def _read_tiff(path: Path) -> NDArray[Any]:
    name = path_tail(path)
    try:
        if path.stat().st_size > imageio.MAX_BYTES:
            raise DatasetError(f"{name} has more than {imageio.MAX_BYTES:,} bytes; cut it into tiles")
        with tifffile.TiffFile(path) as file:
            if len(file.pages) != 1:
                raise DatasetError(f"{name} holds {len(file.pages)} pages, expected one grey image; split it")
            page = file.pages[0]
            shape, dtype = page.shape, page.dtype
            if len(shape) != 2 or dtype is None or dtype.kind not in "uif":
                raise DatasetError(f"{name} is {dtype} of shape {shape}, expected one grey channel; save it so")
            if shape[0] * shape[1] > imageio.MAX_PIXELS:
                raise DatasetError(f"{name} has more than {imageio.MAX_PIXELS:,} pixels; cut it into tiles")
            return np.asarray(page.asarray())
    except _DAMAGE as error:
        raise DatasetError(f"{name} is damaged or no TIFF ({one_line(str(error))}); save it again") from None
