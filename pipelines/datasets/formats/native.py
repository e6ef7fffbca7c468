"""The native format: dataset.toml, images/, masks/, observers/, soft/, splits/ and groups.csv."""

import csv
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pipelines import links
from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets import imageio, listing
from pipelines.datasets.base import Finding, Format, Label, Size, Source, Truth, UnusableTruth
from pipelines.datasets.classes import IGNORE_LAYER, Description
from pipelines.datasets.files import decode_text, read_limited
from pipelines.datasets.formats.masks import roles
from pipelines.datasets.imageio import IMAGE_SUFFIXES, MASK_SUFFIXES, distinct_values
from pipelines.datasets.listing import MAX_NAME
from pipelines.datasets.observers import MAJORITY, OPTION, OPTIONS, ObservedSource
from pipelines.datasets.options import choice
from pipelines.errors import DatasetError
from pipelines.reading import ClassRule, DataReading
from pipelines.schema import SPLITS, Kind, Split
from pipelines.sentences import first_of, printable

DESCRIPTION: Final = "dataset.toml"
_OBSERVERS: Final = "observers"
_SOFT: Final = "soft"
_FOLDERS: Final = ("images", "masks", "splits", "probabilities", _OBSERVERS, _SOFT)
_MAX_DESCRIPTION: Final = 1 << 20  # bytes
_MAX_TABLE: Final = 1 << 26  # bytes of a split list or group table


class NativeSource(listing.FileSource):
    """A folder that describes itself. images: name (the file's stem) to file.

    masks: (layer, name) to file; the layer is a folder under masks/, or "" for masks/ itself. soft_masks: the same of
    soft/, whose layers are classes.
    """

    def __init__(self, root: Path, description: Description, *, folder: str = "masks", soft: bool = True) -> None:
        """Read tables and file names, no pixels.

        folder: of the masks; of an observer's, only the images that have one are taken. soft: whether soft/ is read.
        Raises DatasetError.
        """
        self._description, self._folder = description, folder
        self.root, self.name, self.declared = root, description.name, description.kind
        colors, background = description.class_colors(), description.background_class()
        self.labels = tuple(
            Label(name, color, "background" if name == background else "class")
            for name, color in zip(description.classes, colors, strict=True)
        )
        self.exclusive = description.kind != "overlapping"
        self.complete = description.kind == "exclusive"
        self.priority = description.priority or ()
        self.spec = DataReading(
            format="native",
            kind=description.kind,
            classes=tuple(
                ClassRule(name=name, labels=(name,), color=color)
                for name, color in zip(description.classes, colors, strict=True)
            ),
            priority=description.priority,
        )
        self._layers = description.classes if description.kind == "overlapping" else ("",)
        findings: list[Finding] = []
        self.images, self.masks = _list_files(root, folder, self._layers, findings)
        self.splits = _read_splits(root, self.images, findings)
        self.groups = _read_groups(root, self.images, findings)
        self.soft = soft and _is_folder(root / _SOFT)
        self.soft_masks = self._list_soft(findings) if self.soft else {}
        self.findings = tuple(findings)
        if folder != "masks":
            marked = {name for _, name in self.masks}
            self.images = {name: path for name, path in self.images.items() if name in marked}
            self.splits = {
                split: tuple(name for name in names if name in marked) for split, names in self.splits.items()
            }

    def truth(self, name: str) -> Truth:
        """Truth of an image, one label a class. Raises UnusableTruth with everything that is wrong with its masks."""
        findings: list[Finding] = []
        masks = self._read_masks(name, findings)
        decode = self._decode_layers if self.declared == "overlapping" else self._decode_index
        decoded = decode(masks, findings)
        if decoded is None:
            first = next((finding.message for finding in findings if finding.severity == "error"), None)
            raise UnusableTruth(first or f"the masks of {name} have different sizes; save them again", tuple(findings))
        soft = self._read_soft(name, decoded[1], findings) if self.soft else None
        return Truth(*decoded, tuple(findings), soft)

    def misfits(self, name: str, truth: Truth | None, own: Size) -> list[Finding]:
        """Masks of another size than their picture, one by one."""
        image = self.images[name].name
        return [
            Finding.error(
                "PAIR-SIZE",
                f"{self._folder}/{mask} is {values.shape[1]}×{values.shape[0]}, its image {image} is "
                f"{own[1]}×{own[0]}; resize the mask (nearest neighbour) or remove the pair",
            )
            for mask, values in self._read_masks(name, []).items()
            if values.shape != own
        ]

    def probabilities(self, name: str) -> Float32Array | None:
        """Label probabilities from probabilities/<class>/<stem>.png, p = value / 255; None without that folder."""
        folder = self.root / "probabilities"
        if not _is_folder(folder):
            return None
        if name not in self.images:
            raise DatasetError(f"there is no image {name!r} in {self.root.name}/images; choose one of its images")
        layers = [imageio.read_mask(folder / label.name / f"{name}.png") for label in self.labels]
        if any(layer.dtype != np.uint8 or layer.shape != layers[0].shape for layer in layers):
            raise DatasetError(f"probabilities of {name} must be 8-bit files of one size; save them again")
        return np.stack(layers).astype(np.float32) / np.float32(255)

    def files(self) -> list[Path]:
        """dataset.toml, tables, images, masks, soft masks and probabilities, sorted."""
        tables = [self.root / DESCRIPTION, self.root / "groups.csv"]
        tables += [self.root / "splits" / f"{split}.txt" for split in SPLITS]
        probabilities = (self.root / "probabilities").glob("*/*.png")
        there = [path for path in (*tables, *probabilities) if path.is_file()]
        return sorted([*there, *self.images.values(), *self.masks.values(), *self.soft_masks.values()])

    def _read_masks(self, name: str, findings: list[Finding]) -> dict[str, NDArray[Any]]:
        """Raw mask values by path under masks/, as many as can be read."""
        masks: dict[str, NDArray[Any]] = {}
        for layer in (*self._layers, IGNORE_LAYER) if self.declared == "overlapping" else self._layers:
            path = self.masks.get((layer, name))
            folder = f"{layer}/" if layer else ""
            if path is not None:
                try:
                    masks[f"{folder}{path.name}"] = imageio.read_mask(path)
                except DatasetError as error:
                    findings.append(Finding.error("MASK-UNREADABLE", str(error)))
            elif layer != IGNORE_LAYER:
                problem = f"image {name} has no mask {self._folder}/{folder}{name}.png; add it or remove the image"
                findings.append(Finding.error("PAIR-MISSING", problem))
        return masks

    def _decode_index(
        self, masks: Mapping[str, NDArray[Any]], findings: list[Finding]
    ) -> tuple[BoolArray, BoolArray] | None:
        """Truth and valid of the only mask, whose value is the class; None where it is missing."""
        description = self._description
        for mask, values in masks.items():
            truth, valid, wrong = decode_index(
                values, kind=description.kind, classes=len(self.labels), ignore_index=description.ignore_index
            )
            self._check_values(mask, wrong, findings)
            return truth, valid
        return None

    def _decode_layers(
        self, masks: Mapping[str, NDArray[Any]], findings: list[Finding]
    ) -> tuple[BoolArray, BoolArray] | None:
        """Truth and valid of one mask a class; None where one is missing or sizes differ."""
        layers: dict[str, BoolArray] = {}
        for mask, values in masks.items():
            layers[mask.split("/")[0]], wrong = decode_layer(values)
            self._check_values(mask, wrong, findings)
        if not layers.keys() >= set(self._layers) or len({layer.shape for layer in layers.values()}) != 1:
            return None
        truth = np.stack([layers[name] for name in self._layers])
        if IGNORE_LAYER not in layers:
            return truth, np.ones(truth.shape[1:], np.bool_)
        valid = ~layers[IGNORE_LAYER]
        return truth & valid, valid

    def _check_values(self, mask: str, wrong: Sequence[int], findings: list[Finding]) -> None:
        if not wrong:
            return
        ignore_index = self._description.ignore_index
        ignored = "" if ignore_index is None else f" or {ignore_index} (ignored)"
        allowed = {
            "exclusive": f"the class indices 0 to {len(self.labels) - 1}{ignored}",
            "binary": f"0 (background), 1 (foreground){ignored}, or 0 and 255",
            "overlapping": "0 and 255",
        }[self._description.kind]
        problem = f"{self._folder}/{mask} holds {first_of(wrong, 8)}, allowed are {allowed}; correct the mask or"
        findings.append(Finding.error("MASK-VALUES", f"{problem} {DESCRIPTION}"))

    def _list_soft(self, findings: list[Finding]) -> dict[tuple[str, str], Path]:
        """Soft masks by class and image. A background that none stands for is what the other classes leave of 1."""
        needed = [label.name for label in self.labels if label.role == "class"]
        soft_masks: dict[tuple[str, str], Path] = {}
        for folder in listing.folders(self.root / _SOFT):
            if folder.name not in self._description.classes:
                problem = f"{listing.shown(folder, self.root)} belongs to no class and is passed over; add the class or"
                findings.append(Finding.warning("MASK-LAYOUT", f"{problem} remove the folder"))
                continue
            for name, path in _files(self.root, folder, MASK_SUFFIXES, findings).items():
                soft_masks[folder.name, name] = path
                if name not in self.images:
                    problem = f"{listing.shown(path, self.root)} has no image of that name; add the image or remove it"
                    findings.append(Finding.error("PAIR-MISSING", problem))
        for label in needed:
            if not _is_folder(self.root / _SOFT / label):
                problem = f"{_SOFT}/{label} is missing; soft truth needs one folder a class, with grey = how probable"
                findings.append(Finding.error("MASK-LAYOUT", f"{problem}, or leave {_SOFT}/ out with soft=none"))
        return soft_masks

    def _read_soft(self, name: str, valid: BoolArray, findings: list[Finding]) -> Float32Array:
        """How probable each class is, (C, H, W). What is wrong becomes findings, and the values are not to be used."""
        soft = np.zeros((len(self.labels), *valid.shape), np.float32)
        given: list[bool] = []
        amiss = len(findings)
        for layer, label in zip(soft, self.labels, strict=True):
            path = self.soft_masks.get((label.name, name))
            given.append(path is not None)
            if path is None:
                if label.role == "class":
                    problem = (
                        f"image {name} has no soft mask {_SOFT}/{label.name}/{name}.png; add it, or leave {_SOFT}/"
                    )
                    findings.append(Finding.error("PAIR-MISSING", f"{problem} out with soft=none"))
                continue
            where = listing.shown(path, self.root)
            try:
                values = roles.probability(imageio.read_mask(path), where)
            except DatasetError as error:
                findings.append(Finding.error("MASK-UNREADABLE", str(error)))
                continue
            if values.shape == valid.shape:
                layer[:] = values
            else:
                problem = (
                    f"{where} is {values.shape[1]}×{values.shape[0]}, the mask of its image is "
                    f"{valid.shape[1]}×{valid.shape[0]}; save it at the size of the picture"
                )
                findings.append(Finding.error("PAIR-SIZE", problem))
        if self.complete and len(findings) == amiss:
            self._check_sums(name, soft, valid, findings, all_given=all(given))
            for index in (at for at, there in enumerate(given) if not there):
                soft[index] = np.clip(1 - soft.sum(axis=0), 0, 1)
        return soft

    def _check_sums(
        self, name: str, soft: Float32Array, valid: BoolArray, findings: list[Finding], *, all_given: bool
    ) -> None:
        """Classes that exclude each other add up to 1, as far as 8 bits can say; to less where one is left out."""
        sums, slack = soft.sum(axis=0)[valid], len(soft) / 255
        low, high = (float(sums.min()), float(sums.max())) if sums.size else (1.0, 1.0)
        if high > 1 + slack or (all_given and low < 1 - slack):
            problem = (
                f"the soft masks of {name} add up to {low:.2f} to {high:.2f}, but classes that exclude each other add "
                f"up to 1; correct them, or leave {_SOFT}/ out with soft=none"
            )
            findings.append(Finding.error("MASK-VALUES", problem))


def read_description(root: Path) -> Description:
    """The validated dataset.toml of a data set folder. Raises DatasetError, one line with every problem."""
    path, where = root / DESCRIPTION, f"{root.name}/{DESCRIPTION}"
    if not (path.is_file() and links.of(root).follows(path)):
        raise DatasetError(f"{where} is missing; write one with name, kind and classes")
    if path.stat().st_size > _MAX_DESCRIPTION:
        raise DatasetError(f"{where} is larger than {_MAX_DESCRIPTION:,} bytes; it needs a few lines only")
    try:
        return Description.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{where} is not valid TOML ({error}); correct it") from None
    except ValidationError as error:
        problems = [
            ": ".join(filter(None, (".".join(map(str, row["loc"])), row["msg"].removeprefix("Value error, "))))
            for row in error.errors()
        ]
        raise DatasetError(f"{where}: {'; '.join(problems)}") from None


# Mask values to truth ------------------------------------------------------------------------------------------------


def decode_index(
    values: NDArray[Any], *, kind: Kind, classes: int, ignore_index: int | None
) -> tuple[BoolArray, BoolArray, tuple[int, ...]]:
    """Truth of a mask whose value is the class.

    values: (H, W) integers. Binary: 0 background, 1 foreground; 255 is foreground too in a file without any 1.
    Returns truth (classes, H, W) bool, valid (H, W) bool, and the values that are no class, smallest first (their
    pixels come as not valid).
    """
    valid = np.ones(values.shape, np.bool_) if ignore_index is None else values != ignore_index
    wrong: tuple[int, ...] = ()
    if kind == "binary":
        present = set(distinct_values(values)) - {ignore_index}
        foreground = 255 if 255 in present and 1 not in present else 1
        truth = (values == foreground)[None] & valid
        wrong = tuple(sorted(present - {0, foreground}))
    else:
        indices = np.arange(classes, dtype=values.dtype if classes <= np.iinfo(values.dtype).max else np.int64)
        truth = values[None] == indices[:, None, None]
        known = truth.any(axis=0)
        if not (known | ~valid).all():
            wrong = tuple(distinct_values(values[~known & valid]))
    if wrong:
        valid = valid & ~np.isin(values, wrong)
        truth = truth & valid
    return truth, valid, wrong


def decode_layer(values: NDArray[Any]) -> tuple[BoolArray, tuple[int, ...]]:
    """One class's own mask, (H, W) of 0 and 255 (or of 0 and 1), to bool; and the values that are neither."""
    present = set(distinct_values(values))
    wrong = present - ({0, 1} if 255 not in present else {0, 255})
    return values != 0, tuple(sorted(wrong))


# Files, lists and tables ---------------------------------------------------------------------------------------------


def _list_files(
    root: Path, where: str, layers: Sequence[str], findings: list[Finding]
) -> tuple[dict[str, Path], dict[tuple[str, str], Path]]:
    """Images by name, and masks by layer and name.

    where: the folder of the masks; layers: folders in it that are expected; "" for itself.
    """
    for folder in ("images", where):
        if not _is_folder(root / folder):
            raise DatasetError(f"{root.name}/{folder} is missing; put the {folder} there, one file an image")
    images = _files(root, root / "images", IMAGE_SUFFIXES, findings)
    if not images:
        raise DatasetError(f"{root.name}/images holds no image ({', '.join(IMAGE_SUFFIXES)}); put the images there")
    masks: dict[tuple[str, str], Path] = {}
    for layer in layers if "" in layers else (*layers, IGNORE_LAYER):
        if _is_folder(root / where / layer):
            there = _files(root, root / where / layer, MASK_SUFFIXES, findings)
            masks |= {(layer, name): path for name, path in there.items()}
    folders = sorted(path.name for path in (root / where).iterdir() if _is_folder(path))
    if "" in layers and not masks and folders:
        problem = (
            f"{where}/ holds folders ({', '.join(folders[:5])}) but no mask files; one mask a class is for "
            f'kind = "overlapping", else put {where}/<stem>.png with the class index as value'
        )
        findings.append(Finding.error("MASK-LAYOUT", problem))
    for layer in layers if "" not in layers else ():
        if layer not in folders:
            problem = f"{where}/{layer} is missing; kind overlapping needs one folder a class with 0 and 255"
            findings.append(Finding.error("MASK-LAYOUT", problem))
    for extra in sorted(set(folders) - {*layers, IGNORE_LAYER}) if "" not in layers else ():
        problem = f"{where}/{extra} belongs to no class and is passed over; add the class or remove the folder"
        findings.append(Finding.warning("MASK-LAYOUT", problem))
    for (layer, name), path in masks.items():
        if name not in images:  # an image without a mask is found when it is read
            problem = f"{where}/{layer}{'/' * bool(layer)}{path.name} has no image of that name"
            findings.append(Finding.error("PAIR-MISSING", f"{problem}; add the image or remove it"))
    for other in listing.folders(root):
        first = next(iter(listing.walk(other, suffixes=IMAGE_SUFFIXES, depth=1)), None)
        if other.name not in _FOLDERS and first is not None:
            example = listing.shown(first, root)
            problem = f"{listing.shown(other, root)}/ is no part of a native folder and is not read, such as {example}"
            findings.append(Finding.note("FILE-UNUSED", problem))
    return images, masks


def _files(root: Path, folder: Path, suffixes: tuple[str, ...], findings: list[Finding]) -> dict[str, Path]:
    """Files of a folder by stem, sorted; hidden files and folders are passed over."""
    files: dict[str, Path] = {}
    folded: dict[str, str] = {}
    where = folder.relative_to(root).as_posix()
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        file, stem = f"{where}/{path.name}", path.stem
        if path.name.startswith(".") or path.is_dir() or not links.of(folder).follows(path):
            continue
        if path.suffix.lower() not in suffixes:
            problem = f"{file} is passed over: only {', '.join(suffixes)} are read here; convert or remove it"
            findings.append(Finding.warning("FILE-TYPE", problem))
        elif not stem.isprintable() or len(stem) > MAX_NAME:
            problem = f"a name is one printable line of at most {MAX_NAME} characters; rename it"
            findings.append(Finding.error("FILE-NAME", f"{where}/{path.name!r}: {problem}"))
        elif stem in files:
            problem = f"{file} and {files[stem].name} share the name {stem}; keep one or rename it"
            findings.append(Finding.error("NAME-TWICE", problem))
        else:
            if stem.casefold() in folded:
                other = files[folded[stem.casefold()]].name
                problem = f"{file} and {other} differ by case only, which not every disk keeps apart; rename one"
                findings.append(Finding.warning("NAME-CASE", problem))
            files[stem] = path
            folded[stem.casefold()] = stem
    return dict(sorted(files.items()))


def _read_splits(root: Path, images: Mapping[str, Path], findings: list[Finding]) -> dict[Split, tuple[str, ...]]:
    """Lists of all three splits; {} for a set without splits/."""
    if not _is_folder(root / "splits"):
        return {}
    lists: dict[Split, tuple[str, ...]] = {}
    for split in SPLITS:
        path, where = root / "splits" / f"{split}.txt", f"splits/{split}.txt"
        if not (path.is_file() and links.of(root).follows(path)):
            problem = f"{where} is missing; add it, or remove splits/ to have the images split for you"
            findings.append(Finding.error("SPLIT-MISSING", problem))
            lists[split] = ()
            continue
        counts = Counter(_resolve(line.strip(), images) for line in _text(path).splitlines() if line.strip())
        for name, count in counts.items():
            if name not in images:
                problem = f"{where} names {name[:MAX_NAME]!r}, which is no image here; add it or remove the line"
                findings.append(Finding.error("SPLIT-ABSENT", problem))
            if count > 1:
                problem = f"{where} names {name[:MAX_NAME]!r} {count} times; it is used once, remove the others"
                findings.append(Finding.warning("SPLIT-TWICE", problem))
        lists[split] = tuple(counts)
    return lists


def _read_groups(root: Path, images: Mapping[str, Path], findings: list[Finding]) -> dict[str, str]:
    path = root / "groups.csv"
    if not (path.is_file() and links.of(root).follows(path)):
        return {}
    reader = csv.DictReader(_text(path).splitlines(), strict=True)
    try:
        if reader.fieldnames is None or not {"image", "group"} <= set(reader.fieldnames):
            raise DatasetError(f"{root.name}/groups.csv must begin with the line image,group; add it")
        rows = [(_resolve((row["image"] or "").strip(), images), (row["group"] or "").strip()) for row in reader]
    except csv.Error as error:
        raise DatasetError(f"{root.name}/groups.csv line {reader.line_num}: {error}; correct it") from None
    groups: dict[str, str] = {}
    for name, group in rows:
        if name not in images:
            problem = f"groups.csv names {name[:MAX_NAME]!r}, but there is no such image; add it or remove the line"
            findings.append(Finding.warning("GROUP-ABSENT", problem))
        elif not group or not group.isprintable() or len(group) > MAX_NAME:
            problem = f"groups.csv gives {name} the group {group[:50]!r}; name a group"
            findings.append(Finding.error("GROUP-NAME", problem))
        elif groups.setdefault(name, group) != group:
            problem = f"groups.csv puts {name} in two groups, {groups[name]} and {group}; keep one"
            findings.append(Finding.error("GROUP-TWICE", problem))
    for name in [name for name in images if name not in groups]:
        problem = f"groups.csv does not name {name}, which becomes a group of its own; add a line for it"
        findings.append(Finding.warning("GROUP-MISSING", problem))
        groups[name] = f"image {name}"
    return groups


def _is_folder(path: Path) -> bool:
    return path.is_dir() and links.of(path).follows(path)


def _resolve(line: str, images: Mapping[str, Path]) -> str:
    """The image a list means: its name, with or without the file's ending."""
    if line in images:
        return line
    stem, dot, suffix = line.rpartition(".")
    return stem if dot and stem in images and f".{suffix.lower()}" in IMAGE_SUFFIXES else line


def _text(path: Path) -> str:
    return decode_text(read_limited(path, _MAX_TABLE, "it needs one short line an image"), path)


def recognise(root: Path) -> str | None:
    """The reason to think that a folder is in this format."""
    there = (root / DESCRIPTION).is_file() and links.of(root).follows(root / DESCRIPTION)
    return f"it holds {DESCRIPTION}" if there else None


def open_source(root: Path, options: Mapping[str, str]) -> Source:
    """The truth of masks/, of one observer or of their majority. Raises DatasetError, one line."""
    description = read_description(root)
    soft = choice(options, "soft", ["none"]) != "none"
    asked = options.get(OPTION, "").strip() or description.observer or ""
    people = [path.name for path in listing.folders(root / _OBSERVERS)]
    wrong = next((who for who in people if not who.isprintable()), None)
    if wrong is not None:
        raise DatasetError(f"{_OBSERVERS}/{wrong[:50]!r}: a name is one printable line; rename it")
    if asked and not people:
        raise DatasetError(
            f"there is no {_OBSERVERS}/<name>/ in {root.name}, but {printable(asked[:80])!r} is asked for as "
            f"{OPTION}; put everyone's masks there, laid out as masks/, or ask for none"
        )
    if not people:
        source = NativeSource(root, description, soft=soft)
        if _is_folder(root / _OBSERVERS):
            problem = f"{_OBSERVERS}/ holds no folder; put everyone's masks into {_OBSERVERS}/<name>/, or remove it"
            source.findings = (*source.findings, Finding.warning("MASK-LAYOUT", problem))
        return source
    own = None if asked or not _is_folder(root / "masks") else NativeSource(root, description, soft=soft)
    observed = ObservedSource(
        {
            who: NativeSource(root, description, folder=f"{_OBSERVERS}/{who}", soft=soft and own is None)
            for who in people
        },
        asked,
        own=own,
    )
    observed.findings = (*observed.findings, *_unmarked(root, observed))
    return observed


def _unmarked(root: Path, observed: ObservedSource) -> Iterable[Finding]:
    """Images, and whole splits, that those whose truth is taken did not mark."""
    images = _files(root, root / "images", IMAGE_SUFFIXES, [])
    left = sorted(images.keys() - set(observed.names()))
    someone = observed.truth_of != MAJORITY
    who = f"{printable(observed.truth_of[:60])} did not mark" if someone else "nobody marked"
    advice = f"add masks, or take another {OPTION}" if someone else "add masks"
    if left:
        problem = f"{len(left):,} images that {who} are left out, such as {left[0]}; {advice}"
        yield Finding.warning("PAIR-MISSING", problem)
    for split, names in _read_splits(root, images, []).items():
        if names and not set(names) & set(observed.names()):
            problem = f"{who} any of the {len(names):,} images of splits/{split}.txt, so there is no {split} split"
            yield Finding.warning("SPLIT-LOST", f"{problem}; {advice}")


FORMAT: Final = Format(
    "dataset.toml with images/ and masks/",
    recognise,
    open_source,
    {**OPTIONS, _SOFT: f"none: {_SOFT}/ is not read"},
)
