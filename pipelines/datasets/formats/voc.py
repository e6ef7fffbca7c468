"""Pascal VOC trees: JPEGImages, SegmentationClass and the lists in ImageSets/Segmentation."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pipelines import links
from pipelines.datasets import listing, splits
from pipelines.datasets.base import Finding, Format, Source
from pipelines.datasets.formats import tiff_images
from pipelines.datasets.formats.masks import colors, reading, tables, values
from pipelines.datasets.formats.masks.pairing import Mask, Pairing
from pipelines.datasets.formats.masks.source import LabelMapSource, voc_base
from pipelines.datasets.formats.masks.tables import Named, Names
from pipelines.errors import DatasetError
from pipelines.schema import SPLITS
from pipelines.sentences import printable

_NAMES: Final = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
)
CLASSES: Final = tuple(_NAMES.split())
_BORDER: Final = 255
_LISTS: Final = ("train.txt", "val.txt", "trainval.txt", "test.txt", "default.txt")


class VocSource(LabelMapSource):
    """A VOC tree whose masks hold indices, or colours with a table of names."""

    def __init__(self, root: Path, base: Path, options: Mapping[str, str]) -> None:
        super().__init__(root, _pair(base), options)
        folder = base / "ImageSets" / "Segmentation"
        lists = [folder / name for name in _LISTS]
        self._lists = [path for path in lists if path.is_file() and links.of(base).follows(path)]
        # What the lists name that is not there is told; trainval alone says nothing of training and validation.
        absent: list[Finding] = []
        given = splits.read_lists(folder, self.images, absent) if folder.is_dir() else {}
        self.splits = {split: given[split] for split in SPLITS if split in given}
        folders = [
            folder for folder in (base, base / "SegmentationClass", *base.parents) if folder.is_relative_to(root)
        ]
        paths = self.mask_paths()
        self.findings = (*self.findings, *absent)
        if reading.holds_indices(paths[:: max(1, len(paths) // 4)][:4]):
            self._read_values(paths, folders, options)
        else:
            self.use_labels(*colors.read_colors(root, paths, folders, options))

    def _read_values(self, paths: list[Path], folders: Sequence[Path], options: Mapping[str, str]) -> None:
        """Labels of the masks' values, named by a table, else by VOC's own names where masks have its colours."""
        seen = reading.count_files(paths, "index")
        total = seen.total()
        names = tables.find_names(self.root, folders, options)
        sampled = paths[:: max(1, len(paths) // 8)][:8]
        palette = max((reading.palette_of(path) for path in sampled), key=len, default=[])
        guessed: list[Finding] = []
        table = names
        if names is not None:
            names = _by_palette(names, palette)
        elif set(total) <= {*range(len(CLASSES)), _BORDER} and _is_voc(palette, total):
            rows = tuple(Named(name, value, voc_color(value)) for value, name in enumerate(CLASSES))
            names = Names(tuple(row for row in rows if row.value in total or row.value == 0), folders[0])
            problem = "no file names the classes; the masks have VOC's colours, so its 20 names were taken"
            guessed.append(Finding.note("NAMES-GUESSED", problem))
        labels, findings = values.value_labels(seen, names, unnamed=self.unnamed)
        self.use_labels(labels, table, [*seen.findings(self.root), *guessed, *findings])

    def files(self) -> Iterable[Path]:
        """Lists, tables, pictures and masks."""
        return [*self._lists, *super().files()]


def voc_color(value: int) -> str:
    """The colour that VOC's own palette gives a value: its bits spread over red, green and blue.

    >>> voc_color(1), voc_color(15)
    ('#800000', '#c08080')
    """
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= ((value >> (3 * bit + channel)) & 1) << (7 - bit)
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def _pair(base: Path) -> Pairing:
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
    paired = {name: (Mask(masks[name], ""),) for name in images}
    return Pairing(images or pictures, paired, "one", alone, findings=tuple(findings))


def _is_voc(palette: list[str], total: Mapping[int, int]) -> bool:
    return bool(palette) and all(
        value < len(palette) and palette[value] == voc_color(value) for value in total if value != _BORDER
    )


def _by_palette(names: Names, palette: list[str]) -> Names:
    """Values of names whose colours are in the palette, once each; otherwise the table as it stands."""
    if not palette or any(row.color is None or row.color not in palette for row in names.rows):
        return names
    first = {color: value for value, color in reversed(list(enumerate(palette)))}
    rows = tuple(Named(row.name, first[row.color], row.color) for row in names.rows if row.color is not None)
    return Names(rows, names.path) if len({row.value for row in rows}) == len(rows) else names


def _recognise(root: Path) -> str | None:
    base = voc_base(root)
    if base is None or not (base / "JPEGImages").is_dir():
        return None
    where = "" if base == root else f" in {base.relative_to(root).as_posix()[:100]}"
    return f"it holds JPEGImages and SegmentationClass{where}"


def _why_not(root: Path) -> str | None:
    folder = next((path for path in (root, *listing.folders(root)[:20]) if (path / "JPEGImages").is_dir()), None)
    if folder is None:
        return None
    boxes = ", but Annotations, which holds boxes" if (folder / "Annotations").is_dir() else ""
    return f"JPEGImages has no SegmentationClass with masks beside it{boxes}"


def _open(root: Path, options: Mapping[str, str]) -> Source:
    base = voc_base(root)
    if base is None:
        name = printable(root.name[:60])
        raise DatasetError(f"{name} has no JPEGImages and SegmentationClass; choose another format")
    return VocSource(root, base, options)


FORMAT: Final = Format(
    "Pascal VOC: JPEGImages, SegmentationClass and ImageSets/Segmentation",
    _recognise,
    _open,
    {
        **tables.OPTIONS,
        **tiff_images.OPTIONS,
        **colors.OPTIONS,
        "colors": 'masks in colours: their table, such as "sky=#0000ff, road=#808080"; else labelmap.txt or its like',
    },
    _why_not,
)
