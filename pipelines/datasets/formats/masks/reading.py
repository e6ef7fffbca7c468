"""Mask files to the values or colours that they hold, each file looked at once in a process."""

import io
import math
import threading
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.datasets import imageio, listing
from pipelines.datasets.base import Finding
from pipelines.datasets.formats import tiff_images
from pipelines.errors import DatasetError

How: TypeAlias = Literal["index", "color"]
Counts: TypeAlias = dict[int, int]  # value, or colour as 0xRRGGBB, to number of pixels

_SEVERAL: Final = 5  # files, from which on one may be unlike the others
FEW: Final = 12  # values more than which no label map has by chance
MOST: Final = 4096  # different values of one file; more are not told apart
LOSSY: Final = (".jpg", ".jpeg", ".webp")
_INDEX_MODES: Final = frozenset({"1", "L", "P", "I", "I;16", "I;16B", "F"})
_ALPHA_MODES: Final = frozenset({"RGBA", "LA", "PA"})
_LARGE: Final = 1 << 22  # bytes of a file in colours; whether it is grey is told by others, if they can
_KEPT: Final = 200_000 + listing.MAX_FILES  # more than one set can have
_cache: OrderedDict[tuple[Hashable, ...], Counts | None] = OrderedDict()
_lock: Final = threading.Lock()
_T = TypeVar("_T")


@dataclass(frozen=True)
class MaskValues:
    """What the masks of a data set hold: each file's counts; None for one with more than MOST values.

    unreadable: files that cannot be read; examining their image says why. problem: of the first of them.
    """

    files: dict[Path, Counts | None]
    unreadable: tuple[Path, ...]
    problem: str = "there is none"

    def total(self) -> Counts:
        """Pixels by value over all files that could be counted, ascending by value."""
        total: Counts = {}
        for counts in self.files.values():
            for value, pixels in (counts or {}).items():
                total[value] = total.get(value, 0) + pixels
        return dict(sorted(total.items()))

    @property
    def crowded(self) -> bool:
        """Whether a file has more values than are told apart."""
        return any(counts is None for counts in self.files.values())

    @property
    def lossy(self) -> Path | None:
        """The first file whose compression changes values."""
        return next((path for path in self.files if path.suffix.lower() in LOSSY), None)

    def usual(self) -> "MaskValues":
        """The same without the few files that are unlike all others."""
        odd = self.odd()
        return replace(self, files={path: counts for path, counts in self.files.items() if path not in odd})

    def odd(self) -> set[Path]:
        """Files that hold what no other does, as one that alone was saved as JPEG, resized smoothly or scaled.

        At most a tenth of the files, or one: those with more than FEW values of their own and four times as many as
        most files have, or JPEG with any of its own; and, among several files, the only one with values of its own if
        these are several and all that it holds beside 0.
        """
        sizes = sorted(MOST if counts is None else len(counts) for counts in self.files.values())
        if len(sizes) < 3:
            return set()
        many = max(FEW, 4 * sizes[len(sizes) // 2])
        lossy = {path for path in self.files if path.suffix.lower() in LOSSY}
        suspects = lossy | {path for path, counts in self.files.items() if counts is None or len(counts) > many}
        rest = Counter(value for path in self.files.keys() - suspects for value in self.files[path] or ())
        odd = set()
        for path in suspects if len(suspects) <= max(1, len(sizes) // 10) else ():
            counts = self.files[path]
            own = MOST if counts is None else len(counts.keys() - rest.keys())
            odd |= {path} if own > (0 if path in lossy else FEW) else set()
        single = {value for value, files in rest.items() if files == 1}
        if len(sizes) > _SEVERAL and len(single) > 1:
            odd |= {path for path in self.files.keys() - suspects if set(self.files[path] or ()) - {0} == single}
        return odd

    def findings(self, root: Path) -> list[Finding]:
        """One finding for masks that could not be looked at; each says why when it is read."""
        if not self.unreadable:
            return []
        examples = ", ".join(listing.shown(path, root) for path in self.unreadable[:3])
        problem = (
            f"{len(self.unreadable)} masks cannot be read and named no labels, such as {examples}; save them again"
        )
        return [Finding.warning("MASK-UNREADABLE", problem)]


def count_files(paths: Iterable[Path], how: How) -> MaskValues:
    """The values or colours of mask files."""
    count = _index_counts if how == "index" else _color_counts
    return count_masks((path, path, (how,), partial(count, path)) for path in paths)


def count_marks(paths: Iterable[Path], read: Callable[[Path], NDArray[Any]], how: Hashable) -> MaskValues:
    """The values of masks that are read in some way. how: what tells it from others. Raises nothing for damage."""

    def count(path: Path) -> Counts | None:
        return count_values(whole_marks(path, read(path)))

    return count_masks((path, path, ("marks", how), partial(count, path)) for path in paths)


def count_masks(masks: Iterable[tuple[Path, Path, tuple[Hashable, ...], Callable[[], Counts | None]]]) -> MaskValues:
    """Count every mask once; counts are kept as long as the file does not change.

    masks: what each is called, the file that holds it, what tells it from others in there, and how it is counted.
    """
    files: dict[Path, Counts | None] = {}
    unreadable: dict[Path, str] = {}
    for name, path, which, count in masks:
        try:
            facts = path.stat()
            key = (str(path), facts.st_size, facts.st_mtime_ns, *which)
            with _lock:
                known, counts = key in _cache, _cache.get(key)
            if not known:
                counts = count()
        except (DatasetError, OSError) as error:
            unreadable[name] = str(error)
            continue
        files[name] = counts
        with _lock:
            _cache[key] = counts
            _cache.move_to_end(key)
            while len(_cache) > _KEPT:
                _cache.popitem(last=False)
    return MaskValues(files, tuple(unreadable), *list(unreadable.values())[:1])


def read_index(path: Path, *, content: bytes | None = None) -> NDArray[Any]:
    """Mask values (H, W), whole numbers; a colour image whose three channels are equal is taken as grey.

    content: the mask's bytes where they are no file of their own; the path then only names them. Raises DatasetError.
    """
    marks = read_marks(path, content=content)
    return tiff_images.whole_numbers(path, marks) if content is not None else whole_marks(path, marks)


def whole_marks(path: Path, marks: NDArray[Any]) -> NDArray[Any]:
    """Values of a mask that may have a threshold as whole numbers. Raises DatasetError."""
    advice = "say from which value a pixel is foreground, such as threshold=0.5, or save whole numbers"
    return tiff_images.whole_numbers(path, marks, advice)


def read_marks(path: Path, *, content: bytes | None = None) -> NDArray[Any]:
    """As `read_index`, but floats come as they are stored. Raises DatasetError."""
    if mode_of(path if content is None else content) in ("RGB", "RGBA", "LA", "CMYK"):
        grey = imageio.read_grey(path, content=content)
        if grey is not None:
            return grey
    return tiff_images.read_plane(path) if content is None else imageio.read_mask(path, content=content)


def alpha_tells(paths: Iterable[Path]) -> bool:
    """Whether only the transparency of masks tells anything: some have one, and all that is seen of any is black."""
    told = False
    for path in filter(has_head, paths):
        if mode_of(path) not in _ALPHA_MODES:
            return False
        try:
            if imageio.read_colors(path).any():
                return False
            told = told or len(imageio.distinct_values(imageio.read_alpha(path))) > 1
        except DatasetError:  # damaged: examining its image says so
            continue
    return told


def read_codes(path: Path) -> NDArray[np.int32]:
    """Mask colours (H, W) int32 as 0xRRGGBB. Raises DatasetError."""
    colors = imageio.read_colors(path)
    codes = colors[:, :, 0].astype(np.int32)
    for channel in (1, 2):  # in place: masks may be large
        codes <<= 8
        codes |= colors[:, :, channel]
    return codes


def largest(paths: Iterable[Path], pages: tiff_images.Pages = "") -> float:
    """The largest value of masks that can be read, rounded up; 0 where there is none."""
    counted = count_masks((path, path, ("largest", pages), partial(_largest, path, pages)) for path in paths)
    return max(counted.total(), default=0)


def _largest(path: Path, pages: tiff_images.Pages) -> Counts:
    slices: Iterable[int | None] = [None]
    if tiff_images.is_tiff(path) and pages == "slices":
        slices = range(tiff_images.read_head(path, pages).slices)
    peak = 0.0
    for page in slices:
        tiff = tiff_images.is_tiff(path)
        marks = tiff_images.read_channels(path, page=page, pages=pages) if tiff else read_marks(path)
        peak = max(peak, float(marks.max(initial=0, where=tiff_images.has_value(marks))))
    return {math.ceil(peak): 1}


def mode_of(file: Path | bytes) -> str | None:
    """Pillow's mode of an image file, told by its head; None when Pillow cannot tell."""
    return _from_head(file, lambda picture: picture.mode, None)


def palette_of(path: Path) -> list[str]:
    """Colours "#rrggbb" of a palette image by value; [] for others."""
    flat = _from_head(path, lambda picture: picture.getpalette("RGB") if picture.mode == "P" else None, None) or []
    return [f"#{flat[at]:02x}{flat[at + 1]:02x}{flat[at + 2]:02x}" for at in range(0, len(flat) - 2, 3)]


def has_head(path: Path) -> bool:
    """Whether a file begins as an image does; what follows may be damaged all the same."""
    if mode_of(path) is not None:
        return True
    try:
        return tiff_images.is_tiff(path) and tiff_images.read_head(path).channels > 0
    except (DatasetError, OSError):
        return False


def palette_beside_colors(seen: MaskValues) -> tuple[str, ...]:
    """The palette of the first mask that has one where others cannot be read for their colours; () where none are."""
    if not any(mode_of(path) in ("RGB", "RGBA") for path in seen.unreadable):
        return ()
    return next((tuple(palette) for path in seen.files if (palette := palette_of(path))), ())


def read_by_palette(path: Path, palette: Sequence[str]) -> NDArray[Any]:
    """As `read_marks`; of a mask in colours the indices that its colours have in a palette. Raises DatasetError."""
    if mode_of(path) not in ("RGB", "RGBA"):
        return read_marks(path)
    first = {int(color[1:], 16): index for index, color in reversed(list(enumerate(palette)))}
    codes, places = np.unique(read_codes(path), return_inverse=True)
    unknown = [code for code in codes.tolist() if code not in first]
    if unknown:
        raise DatasetError(
            f"{path.name} is in colours, such as #{unknown[0]:06x}, that the palette of the other masks does not hold; "
            "save it with that palette, or read the set in the format colored"
        )
    return np.array([first[code] for code in codes.tolist()], np.uint8)[places]


def holds_indices(paths: list[Path]) -> bool:
    """Whether most of some masks hold one value a pixel, told by their heads; colour images by whether they are grey.

    Masks that cannot be read say nothing, and palettes that differ say that colours are meant.
    """
    modes = {path: mode_of(path) for path in paths if has_head(path)}
    grey = {path: mode is None or mode in _INDEX_MODES for path, mode in modes.items()}
    colored = [path for path, index in grey.items() if not index]
    small = [path for path in colored if path.stat().st_size < _LARGE]
    if not small and len(colored) == len(grey):
        small = sorted(colored, key=lambda path: path.stat().st_size)[:1]
    for path in colored:
        del grey[path]
    grey |= {path: _is_grey(path) for path in small}
    palettes = [palette_of(path) for path, mode in modes.items() if mode == "P"]
    # One palette begins with the other, as those of one table do that were cut to the colours in use.
    alike = all(a == b for other in palettes[1:] for a, b in zip(palettes[0], other, strict=False))
    return alike and 2 * sum(grey.values()) > len(grey)


def _is_grey(path: Path) -> bool:
    try:
        return read_index(path).ndim == 2
    except (DatasetError, OSError):
        return False


def _from_head(file: Path | bytes, ask: Callable[[Image.Image], _T], otherwise: _T) -> _T:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = io.BytesIO(file) if isinstance(file, bytes) else file
            with Image.open(source, formats=imageio.FORMATS) as picture:
                return ask(picture)
    except Exception:  # the head of a damaged file raises anything; reading it whole says what is wrong
        return otherwise


def blurred(total: Counts) -> bool:
    """Whether values look like the edges of smoothed or JPEG-compressed masks: many, and most of them rare."""
    pixels = sum(total.values())
    rare = sum(count < 1e-3 * pixels for count in total.values())
    return len(total) > 12 and rare > 0.6 * len(total)


def count_values(values: NDArray[Any]) -> Counts | None:
    """Pixels by value; None for more than MOST values."""
    if values.dtype == np.uint8:  # Pillow counts three times faster than bincount, ten times faster than sorting
        return {value: count for value, count in enumerate(Image.fromarray(values).histogram()) if count}
    distinct_, counts = np.unique(values, return_counts=True)
    if len(distinct_) > MOST:
        return None
    return {int(value): int(count) for value, count in zip(distinct_, counts, strict=True)}


def _index_counts(path: Path) -> Counts | None:
    return count_values(read_index(path))


def _color_counts(path: Path) -> Counts | None:
    colors = Image.fromarray(imageio.read_colors(path)).getcolors(MOST)
    if colors is None:
        return None
    rows = cast("list[tuple[int, tuple[int, int, int]]]", colors)
    return {(red << 16) | (green << 8) | blue: count for count, (red, green, blue) in rows}
