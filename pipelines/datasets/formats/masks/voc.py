"""Pascal VOC trees: JPEGImages, SegmentationClass and the lists in ImageSets/Segmentation."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pipelines import links
from pipelines.datasets import listing, splits
from pipelines.datasets.base import Finding, Format, Source, Truth
from pipelines.datasets.formats import tiff_images
from pipelines.datasets.formats.masks import paired_names, paired_values
from pipelines.datasets.formats.masks.colored import color_labels, decode_colors, read_color_table, read_nearest
from pipelines.datasets.formats.masks.indexed import holds_indices
from pipelines.datasets.formats.masks.paired import Mask, Match
from pipelines.datasets.formats.masks.paired_labels import LOSSY, unreadable, value_labels
from pipelines.datasets.formats.masks.paired_names import Named, Names
from pipelines.datasets.formats.masks.paired_source import MaskSource, voc_base
from pipelines.errors import DatasetError
from pipelines.schema import SPLITS, Split

CLASSES: Final = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_BORDER: Final = 255


class VocSource(MaskSource):
    """A VOC tree whose masks hold indices, or colours with a table of names."""

    exclusive = True
    complete = True

    def __init__(self, root: Path, base: Path, options: Mapping[str, str]) -> None:
        super().__init__(root, _found(base), options)
        self._lists = _list_files(base)
        self.splits, absent = _splits(base, self.images)
        self.findings = (*self.findings, *absent)
        folders = [base, base / "SegmentationClass", *base.parents]
        folders = [one for one in folders if one.is_relative_to(root)]
        paths = self.mask_paths()
        self._colored = not holds_indices(paths[:: max(1, len(paths) // 4)][:4])
        if self._colored:
            self._open_colors(folders, options)
        else:
            self._open_indices(folders, options)

    def _open_indices(self, folders: list[Path], options: Mapping[str, str]) -> None:
        seen = paired_values.look(self.mask_paths(), "index")
        names = paired_names.find_names(self.root, folders, options)
        palettes = _palettes(self.mask_paths())
        notes: list[Finding] = []
        if names is not None:
            names = _by_palette(names, palettes)
            self.tables = (*self.tables, names.path)
        elif set(seen.total()) <= {*range(len(CLASSES)), _BORDER} and _is_voc(palettes, seen.total()):
            rows = tuple(Named(name, value, voc_color(value)) for value, name in enumerate(CLASSES))
            names = Names(tuple(row for row in rows if row.value in seen.total() or row.value == 0), folders[0])
            problem = "no file names the classes; the masks have VOC's colours, so its 20 names were taken"
            notes.append(Finding.note("NAMES-GUESSED", problem))
        self._values, findings = value_labels(seen, names)
        self.labels = self._values.labels
        self.findings = (*self.findings, *unreadable(seen, self.root), *notes, *findings)

    def _open_colors(self, folders: list[Path], options: Mapping[str, str]) -> None:
        seen = paired_values.look(self.mask_paths(), "color")
        table, tables, notes = read_color_table(self.root, folders, options)
        nearest = read_nearest(options)
        lossy = any(path.suffix.lower() in LOSSY for path in seen.files)
        self._codes, self.labels, self._nearest, findings = color_labels(seen, seen.total(), table, nearest, lossy)
        self.findings = (*self.findings, *unreadable(seen, self.root), *notes, *findings)
        self.tables = (*self.tables, *tables)

    def marked(self, name: str) -> Truth:
        """Truth of an image by its masks. Raises DatasetError when its mask cannot be read."""
        path = self.masks[name][0].path
        if self._colored:
            return decode_colors(paired_values.read_codes(path), self._codes, self.shown(path), nearest=self._nearest)
        return self._values.truth(paired_values.read_index(path), self.shown(path))

    def files(self) -> Iterable[Path]:
        """Lists, tables, pictures and masks."""
        return [*self._lists, *super().files()]


def voc_color(value: int) -> str:
    """The colour that VOC's own palette gives a value: its bits spread over red, green and blue."""
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= ((value >> (3 * bit + channel)) & 1) << (7 - bit)
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def _found(base: Path) -> Match:
    """Pictures and masks of one name; only pictures with a mask belong to this task."""
    findings: list[Finding] = []
    masks = listing.by_name(listing.images(base / "SegmentationClass", depth=0), base / "SegmentationClass", findings)
    folder = base / "JPEGImages"
    if not folder.is_dir():
        raise DatasetError(f"{base.name} has SegmentationClass but no folder JPEGImages; add the pictures to it")
    pictures = listing.by_name(listing.images(folder, depth=0), folder, findings)
    images = {name: path for name, path in pictures.items() if name in masks}
    alone = tuple(path for name, path in masks.items() if name not in pictures)
    if len(images) < len(pictures) and images:
        problem = f"{len(pictures) - len(images)} of {len(pictures)} pictures have no mask in SegmentationClass"
        findings.append(Finding.note("PAIR-MISSING", f"{problem} and are left out"))
    kept = {name: (Mask(masks[name], ""),) for name in images}
    return Match(images or pictures, kept, "one", alone, findings=tuple(findings))


def _list_folder(base: Path) -> Path:
    return base / "ImageSets" / "Segmentation"


def _list_files(base: Path) -> list[Path]:
    folder = _list_folder(base)
    names = ("train.txt", "val.txt", "trainval.txt", "test.txt", "default.txt")
    return [folder / name for name in names if (folder / name).is_file() and links.of(base).follows(folder / name)]


def _splits(base: Path, images: Mapping[str, Path]) -> tuple[dict[Split, tuple[str, ...]], list[Finding]]:
    """VOC's lists, and what they name that is not there; trainval alone says nothing of training and validation."""
    findings: list[Finding] = []
    given = splits.read_lists(_list_folder(base), images, findings) if _list_folder(base).is_dir() else {}
    return {split: given[split] for split in SPLITS if split in given}, findings


def _palettes(paths: list[Path]) -> list[str]:
    """The longest palette of some masks; [] for grey ones."""
    some = paths[:: max(1, len(paths) // 8)][:8]
    return max((paired_values.palette_of(path) for path in some), key=len, default=[])


def _is_voc(palette: list[str], total: Mapping[int, int]) -> bool:
    return bool(palette) and all(
        value < len(palette) and palette[value] == voc_color(value) for value in total if value != _BORDER
    )


def _by_palette(names: Names, palette: list[str]) -> Names:
    """Values of names whose colours are in the palette, once each; otherwise the table as it stands."""
    colors = [row.color for row in names.rows]
    if not palette or any(color is None or palette.count(color) == 0 for color in colors):
        return names
    first = {color: value for value, color in reversed(list(enumerate(palette)))}
    rows = tuple(Named(row.name, first[row.color], row.color) for row in names.rows if row.color is not None)
    return Names(rows, names.path) if len({row.value for row in rows}) == len(rows) else names


def _recognise(root: Path) -> str | None:
    base = voc_base(root)
    if base is None:
        return None
    where = "" if base == root else f" in {base.relative_to(root).as_posix()[:100]}"
    return f"it holds JPEGImages and SegmentationClass{where}" if (base / "JPEGImages").is_dir() else None


def _open(root: Path, options: Mapping[str, str]) -> Source:
    base = voc_base(root)
    if base is None:
        raise DatasetError(
            f"{paired_names.shown(root.name)} has no JPEGImages and SegmentationClass; choose another format"
        )
    return VocSource(root, base, options)


FORMAT = Format(
    "Pascal VOC: JPEGImages, SegmentationClass and ImageSets/Segmentation",
    _recognise,
    _open,
    {
        **paired_names.OPTIONS,
        **tiff_images.OPTIONS,
        "colors": 'masks in colours: their table, such as "sky=#0000ff, road=#808080"; else labelmap.txt or its like',
        "nearest": "yes: other colours count as the nearest of the table (JPEG, smooth edges); no: never",
    },
)
