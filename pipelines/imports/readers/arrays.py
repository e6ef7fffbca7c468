"""NumPy files to outputs: a file an image, an archive with an array an image, or one stack with a list of names."""

from pathlib import Path
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import DatasetError
from pipelines.imports.readers.base import Files, FileSource, Names, Said, stem
from pipelines.imports.source import OutputSource, named, printable
from pipelines.misuse.files import array_shapes, read_outputs

SUFFIXES: Final = (".npy", ".npz")
_LIST_BYTES: Final = 2**26


class _Place(NamedTuple):
    """An array: of which file, its name there, its number in a stack (None: the only one), its (height, width)."""

    path: Path
    array: str | None = None
    image: int | None = None
    size: tuple[int, int] | None = None


def recognise(files: Files) -> bool:
    """Whether there are NumPy files."""
    return any(name.lower().endswith(SUFFIXES) for name in files)


def open_arrays(files: Files, said: Said, dataset: Dataset) -> OutputSource:
    """Open .npy and .npz files; reads names and headers only. Raises ConfigError, DatasetError or ShapeError."""
    known = Names(dataset.names())
    found: list[tuple[str, _Place]] = []
    for name, path in files.items():
        if name.lower().endswith(SUFFIXES):
            found += _inside(name, path, files, known, said)
    return _Arrays(said.declare(), found, dataset.names())


def _inside(name: str, path: Path, files: Files, known: Names, said: Said) -> list[tuple[str, _Place]]:
    """Outputs in one file, with the names they go by."""
    names = files.get(f"{stem(name)}.txt")
    if name.lower().endswith(".npy"):
        if names is not None:
            return _stack(path, names)
        if known.image(stem(name)) is None and array_shapes(path)[""][:-3] not in ((), (1,)):
            raise DatasetError(
                f"{printable(name)} is a stack of several images; write their names, in order and one a line, into "
                f"{printable(stem(name))}.txt beside it"
            )
        return [(stem(name), _Place(path))]
    if known.image(stem(name)) is None:  # an archive of images, not the file of one
        return [(key, _Place(path, key, None, _size(shape))) for key, shape in array_shapes(path).items()]
    shapes = array_shapes(path)
    array = only_array(tuple(shapes), name, said)
    return [(stem(name), _Place(path, array, None, _size(shapes[array])))]


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[-2], shape[-1]


def only_array(arrays: tuple[str, ...], name: str, said: Said) -> str:
    """Which array of one image's file to take: the only one, or the one called after the head or the values."""
    if len(arrays) == 1:
        return arrays[0]
    for wanted in (said.head, said.values):
        if wanted in arrays:
            return str(wanted)
    raise DatasetError(
        f"{printable(name)} holds {len(arrays)} arrays ({named(arrays[:10])}), none of them called {said.head}; save "
        "one array an image, or name it after the head"
    )


def _stack(path: Path, names: Path) -> list[tuple[str, _Place]]:
    shape = array_shapes(path)[""]
    try:
        if names.stat().st_size > _LIST_BYTES:
            raise DatasetError(f"{names.name} has more than {_LIST_BYTES:,} bytes; write one name a line")
        lines = [line.strip() for line in names.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{names.name} cannot be read ({error}); save it as UTF-8 text") from None
    count = shape[0] if len(shape) == 4 else 1
    if len(lines) != count:
        raise DatasetError(
            f"{path.name} holds {count} images, {names.name} has {len(lines)} names; write one name for each, in order"
        )
    return [(line, _Place(path, None, number, _size(shape))) for number, line in enumerate(lines)]


class _Arrays(FileSource[_Place]):
    def size_of(self, place: _Place) -> tuple[int, int] | None:
        return place.size or _size(array_shapes(place.path)[""])

    def load(self, place: _Place, item: Item) -> NDArray[Any]:
        found = list(read_outputs(place.path, array=place.array, image=place.image))
        if len(found) != 1:
            raise DatasetError(
                f"{place.path.name} holds {len(found)} images, but belongs to one; save them one by one, or as a stack "
                "with a list of names"
            )
        return found[0]
