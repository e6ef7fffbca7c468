"""The native folder format: dataset.toml, images/, masks/, splits/ and groups.csv as one data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines import links
from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets import coding, imageio, listing, orientation, splits
from pipelines.datasets.base import Dataset, Examination, Finding, Item
from pipelines.datasets.description import DESCRIPTION, IGNORE_LAYER, Description, read_description
from pipelines.datasets.fingerprint import fingerprint_of
from pipelines.datasets.layout import Layout, read_layout
from pipelines.datasets.source import Picture, Truth
from pipelines.errors import DatasetError
from pipelines.reading import SplitRule
from pipelines.schema import SPLITS, Split


def recognise(path: Path) -> str | None:
    """The reason to think that a folder is in this format."""
    there = (path / DESCRIPTION).is_file() and links.of(path).follows(path / DESCRIPTION)
    return f"it holds {DESCRIPTION}" if there else None


def open_native(path: Path) -> "NativeDataset":
    """Open a folder; reads its tables and file names, no pixels. Raises DatasetError."""
    with links.reading(path) as found:
        return NativeDataset(path, read_description(path), found)


class NativeDataset(Dataset):
    """A folder in the native format."""

    def __init__(self, root: Path, description: Description, found: links.Links) -> None:
        self.root = root
        self.name = description.name
        self.kind = description.kind
        self.classes = description.classes
        self.colors = description.class_colors()
        self.background = description.background_class()
        self.priority = description.priority
        self._ignore_index = description.ignore_index
        self._layout: Layout = read_layout(root, self._layers())
        self._findings = (*self._layout.findings, *listing.passed_over(found, root))
        self.groups = self._layout.groups
        self._alignment = orientation.Alignment(self)
        if self._layout.splits is not None:
            self._splits: Mapping[Split, tuple[str, ...]] = self._layout.splits
        else:
            self._splits, made = splits.complete_splits({}, self.names(), self.groups, SplitRule())
            note = Finding(code=splits.MADE, severity="note", message=f"the data set has no splits/: {made}")
            self._findings = (*self._findings, note)

    def _layers(self) -> tuple[str, ...]:
        """Mask folders under masks/: one a class where labels may overlap, else masks/ itself."""
        return self.classes if self.kind == "overlapping" else ("",)

    def names(self) -> tuple[str, ...]:
        """Every image of the set, sorted."""
        return tuple(self._layout.images)

    def images(self, split: Split) -> tuple[str, ...]:
        """Names of the images of a split, in the order of its list."""
        return self._splits[split]

    def structure(self) -> tuple[Finding, ...]:
        """Everything that is wrong with files, lists and tables."""
        return self._findings

    def examine(self, name: str, *, size: tuple[int, int] | None = None) -> Examination:
        """One image with its truth, and everything that is wrong with them."""
        path = self._layout.images.get(name)
        if path is None:
            problem = f"there is no image {name!r} in {self.root.name}/images; add it or take it out of the lists"
            return Examination(None, (Finding(code="IMAGE-MISSING", severity="error", message=problem),))
        findings: list[Finding] = []
        picture = turn = None
        try:
            picture = self.picture(name, size=size)
        except DatasetError as error:
            findings.append(Finding(code="IMAGE-UNREADABLE", severity="error", message=str(error)))
        masks = self._read_masks(name, findings)
        truth, valid = self._decode(masks, findings)
        if picture is not None and truth is not None and valid is not None:
            aligned, turn = self._alignment.align(picture, Truth(truth, valid))
            truth, valid = aligned.layers, aligned.valid
        if picture is not None and (valid is None or valid.shape != picture.own):
            for mask, values in masks.items():
                _check_size(findings, mask, values.shape, path.name, picture.own)
        if picture is None or truth is None or valid is None or any(one.severity == "error" for one in findings):
            return Examination(None, tuple(findings))
        if not valid.any():
            problem = f"every pixel of {name} is to be ignored, so it teaches and tests nothing; label it or remove it"
            findings.append(Finding(code="ALL-IGNORED", severity="warning", message=problem))
        shape = size or picture.own
        truth, valid = imageio.resize_mask(truth, shape), imageio.resize_mask(valid, shape)
        return Examination(Item(name, picture.image, truth, valid, picture.orientation), tuple(findings), turn)

    def head(self, name: str) -> tuple[tuple[int, int], int]:
        """Size, upright, and EXIF orientation of a picture. Raises DatasetError."""
        return imageio.read_head(self._layout.images[name])

    def truth(self, name: str) -> Truth:
        """Truth of an image, one label a class, as it lies in its masks.

        Raises DatasetError with the first thing that is wrong with it.
        """
        layers, valid, findings = self.masks(name)
        if layers is None or valid is None:
            first = next((one for one in findings if one.severity == "error"), None)
            raise DatasetError(first.message if first else f"the masks of {name} have different sizes; save them again")
        return Truth(layers, valid, findings)

    def picture(self, name: str, *, size: tuple[int, int] | None = None) -> Picture:
        """The picture of an image. Raises DatasetError."""
        return Picture(*imageio.read_picture(self._layout.images[name], size=size))

    def masks(self, name: str) -> tuple[BoolArray | None, BoolArray | None, tuple[Finding, ...]]:
        """Truth (C, H, W) and valid (H, W) of an image, None if they cannot be had, and everything that is wrong."""
        findings: list[Finding] = []
        truth, valid = self._decode(self._read_masks(name, findings), findings)
        return truth, valid, tuple(findings)

    def _read_masks(self, name: str, findings: list[Finding]) -> dict[str, NDArray[Any]]:
        """Raw mask values by path under masks/, as many as can be read."""
        masks: dict[str, NDArray[Any]] = {}
        for layer in (*self._layers(), IGNORE_LAYER) if self.kind == "overlapping" else self._layers():
            path = self._layout.masks.get((layer, name))
            if path is None:
                if layer != IGNORE_LAYER:
                    problem = f"image {name} has no mask masks/{_join(layer, name)}.png; add it or remove the image"
                    findings.append(Finding(code="PAIR-MISSING", severity="error", message=problem))
                continue
            try:
                masks[_join(layer, path.name)] = imageio.read_mask(path)
            except DatasetError as error:
                findings.append(Finding(code="MASK-UNREADABLE", severity="error", message=str(error)))
        return masks

    def _decode(
        self, masks: dict[str, NDArray[Any]], findings: list[Finding]
    ) -> tuple[BoolArray | None, BoolArray | None]:
        """Truth and valid from the masks that could be read; None when one of them is missing or they do not fit."""
        if self.kind != "overlapping":
            for mask, values in masks.items():
                truth, valid, wrong = coding.decode_index(
                    values, kind=self.kind, classes=len(self.classes), ignore_index=self._ignore_index
                )
                self._check_values(findings, mask, wrong)
                return truth, valid
            return None, None
        layers: dict[str, BoolArray] = {}
        for mask, values in masks.items():
            layers[mask.split("/")[0]], wrong = coding.decode_layer(values)
            self._check_values(findings, mask, wrong)
        shapes = {layer.shape for layer in layers.values()}
        if any(name not in layers for name in self.classes) or len(shapes) != 1:
            return None, None
        valid = ~layers[IGNORE_LAYER] if IGNORE_LAYER in layers else np.ones(shapes.pop(), np.bool_)
        truth = np.stack([layers[name] for name in self.classes])
        return truth & valid if IGNORE_LAYER in layers else truth, valid

    def _check_values(self, findings: list[Finding], mask: str, wrong: tuple[int, ...]) -> None:
        if not wrong:
            return
        ignored = "" if self._ignore_index is None else f" or {self._ignore_index} (ignored)"
        allowed = {
            "exclusive": f"the class indices 0 to {len(self.classes) - 1}{ignored}",
            "binary": f"0 (background), 1 (foreground){ignored}, or 0 and 255",
            "overlapping": "0 and 255",
        }[self.kind]
        problem = (
            f"masks/{mask} holds {coding.list_values(wrong)}, allowed are {allowed}; correct the mask or dataset.toml"
        )
        findings.append(Finding(code="MASK-VALUES", severity="error", message=problem))

    def probabilities(self, name: str) -> Float32Array | None:
        """Label probabilities from probabilities/<class>/<stem>.png, p = value / 255; None without that folder."""
        folder = self.root / "probabilities"
        if not (folder.is_dir() and links.of(self.root).follows(folder)):
            return None
        if name not in self._layout.images:
            raise DatasetError(f"there is no image {name!r} in {self.root.name}/images; choose one of its images")
        layers = [imageio.read_mask(folder / one / f"{name}.png") for one in self.classes]
        if any(layer.dtype != np.uint8 or layer.shape != layers[0].shape for layer in layers):
            raise DatasetError(f"probabilities of {name} must be 8-bit files of one size; save them again")
        found = np.stack(layers).astype(np.float32) / np.float32(255)
        turn = self.examine(name).turn
        stored = turn is not None and turn.drawn == "stored"
        return np.ascontiguousarray(imageio.turn(found, self.head(name)[1])) if stored else found

    def fingerprint(self) -> str:
        """sha256 over name, length and content of dataset.toml, tables, images, masks and probabilities."""
        return fingerprint_of(self.files(), self.root)

    def files(self) -> list[Path]:
        """Every file that decides what this data set contains, sorted."""
        tables = [self.root / DESCRIPTION, self.root / "groups.csv"]
        tables += [self.root / "splits" / f"{split}.txt" for split in SPLITS]
        found = [path for path in tables if path.is_file()]
        found += [path for path in (self.root / "probabilities").glob("*/*.png") if path.is_file()]
        return sorted([*found, *self._layout.images.values(), *self._layout.masks.values()])


def _join(layer: str, name: str) -> str:
    return f"{layer}/{name}" if layer else name


def _check_size(findings: list[Finding], mask: str, shape: tuple[int, ...], image: str, own: tuple[int, int]) -> None:
    if tuple(shape) == own:
        return
    problem = (
        f"masks/{mask} is {shape[1]}×{shape[0]}, its image {image} is {own[1]}×{own[0]}; resize the mask (nearest "
        "neighbour) or remove the pair"
    )
    findings.append(Finding(code="PAIR-SIZE", severity="error", message=problem))
