"""Folders to data sets: the registry of formats, which of them knows a folder, and what it is recognised as."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pipelines import links
from pipelines.datasets import contents, listing, orientation, splits
from pipelines.datasets.base import FILES_READ, Format, Source
from pipelines.datasets.dataset import OPTIONS, Dataset
from pipelines.datasets.formats import (
    brats,
    coco,
    colored,
    cvat,
    dicom,
    huggingface,
    indexed,
    labelme,
    labelstudio,
    native,
    nnunet,
    per_class,
    rle_table,
    supervisely,
    tiff,
    voc,
    volume_pairs,
    yolo,
)
from pipelines.errors import DatasetError
from pipelines.reading import DataReading
from pipelines.schema import SPLITS
from pipelines.sentences import first_of, printable

# In the order in which they are tried: those that are known by a file of their own come first. Files of shapes that may
# lie beside masks made of them come last.
_FORMATS: Final[dict[str, Format]] = {
    "native": native.FORMAT,
    "nnunet": nnunet.FORMAT,
    "brats": brats.FORMAT,
    "dicom": dicom.FORMAT,
    "volumes": volume_pairs.FORMAT,
    "coco": coco.FORMAT,
    "labelme": labelme.FORMAT,
    "huggingface": huggingface.FORMAT,
    "supervisely": supervisely.FORMAT,
    "voc": voc.FORMAT,
    "tiff": tiff.FORMAT,
    "indexed": indexed.FORMAT,
    "colored": colored.FORMAT,
    "per_class": per_class.FORMAT,
    "instances": per_class.INSTANCES,
    "rle": rle_table.FORMAT,
    "yolo": yolo.FORMAT,
    "cvat": cvat.FORMAT,
    "labelstudio": labelstudio.FORMAT,
}
FORMATS: Final[dict[str, Format]] = {
    name: replace(form, options={**form.options, **orientation.OPTIONS, **OPTIONS}) for name, form in _FORMATS.items()
}


@dataclass(frozen=True)
class Recognised:
    """A format that a folder can be read in, and the reason to think so."""

    format: str
    reason: str


def recognise(path: str | Path) -> tuple[Recognised, ...]:
    """Formats that know a folder, the likeliest first. Raises DatasetError when it is not a folder."""
    root = _folder(path)
    reasons = ((name, form.recognise(root)) for name, form in FORMATS.items())
    return tuple(Recognised(name, reason) for name, reason in reasons if reason is not None)


def open_source(path: str | Path, spec: DataReading | None = None) -> tuple[str, Source]:
    """Format and source of a folder: the spec's format, or the first that recognises it. Raises DatasetError."""
    spec = spec or DataReading()
    root = _folder(path)
    name = spec.format or _first(root, path)
    if name not in FORMATS:
        raise DatasetError(f"there is no data set format {name!r}; available formats are {', '.join(FORMATS)}")
    options = FORMATS[name].options
    wrong = sorted(set(spec.options) - set(options))
    if wrong:
        raise DatasetError(f"the format {name} has no option {wrong[0]!r}; its options are {', '.join(options)}")
    with links.reading(root) as followed:
        source = FORMATS[name].open(root, spec.options)
    source.findings = (*source.findings, *listing.passed_over(followed, root))
    return name, source


def open_dataset(path: str | Path, spec: DataReading | None = None) -> Dataset:
    """Open a data set for reading; looks at names and tables, and at masks only to find out whether labels overlap.

    spec: what is said beside the files; without a format the first that recognises the folder is taken.
    Raises DatasetError when nothing is there, no format knows it, or its tables or the spec don't fit.
    """
    spec = spec or DataReading()
    name, source = open_source(path, spec)
    return Dataset(source, spec.model_copy(update={"format": name}))


def recognised_text(dataset: Dataset) -> str:
    """One line on the format a data set is read in, why, which others would do, what is left out, and its splits."""
    chosen = dataset.spec.format or "native"
    reasons = {recognised.format: recognised.reason for recognised in recognise(dataset.root)}
    others = [name for name in reasons if name != chosen]
    why = f": {reasons[chosen]}" if chosen in reasons else " as asked for"
    rest = f"; could also be {', '.join(others)} (--data-format)" if others else ""
    made = [finding.message for finding in dataset.structure() if finding.code == splits.MADE]
    counts = ", ".join(f"{split} {len(dataset.images(split))}" for split in SPLITS)
    notes = [finding.message.split(";")[0] for finding in dataset.structure() if finding.code in FILES_READ]
    notes += made or [f"splits as the data set gives them: {counts}"]
    return "; ".join([f"{dataset.root.name} is recognised as {chosen} ({FORMATS[chosen].title}){why}{rest}", *notes])


def _folder(path: str | Path) -> Path:
    root = Path(path).expanduser().resolve()
    if not root.is_dir():
        raise DatasetError(f"{path} is not a folder; give the folder of a data set, such as one with dataset.toml")
    return root


def _first(root: Path, path: str | Path) -> str:
    """The likeliest format, without asking the ones after it. Raises DatasetError when no format knows the folder."""
    with links.reading(root) as followed:
        name = next((name for name, form in FORMATS.items() if form.recognise(root) is not None), None)
    if name is not None:
        return name
    there = sorted(entry.name for entry in root.iterdir() if not entry.name.startswith("."))
    holds = first_of([printable(name)[:40] for name in there], 5) or "nothing"
    closed = sum(entry.is_symlink() and not links.of(root).follows(entry) for entry in root.iterdir())
    if closed:
        holds += f", {closed} of them links that lead nowhere or out of the folders that may be read"
    holds += f": {contents.summary(root)}" if len(there) > closed else ""
    holds += "" if closed else "".join(f"; {note.message}" for note in listing.passed_over(followed, root))
    reasons = ((name, form.why_not(root)) for name, form in FORMATS.items())
    nearest = next((f"; nearest is {name}: {reason}" for name, reason in reasons if reason is not None), "")
    raise DatasetError(
        f"{path} is in no known format (it holds {holds}){nearest}; known are {', '.join(FORMATS)}: see "
        "docs/data-formats.md for how each lies on the disk, or name the one it is"
    )
