"""Data sets: a registry of formats, what each is read as, and what can be told before any training."""

from dataclasses import dataclass
from pathlib import Path

from pipelines import links
from pipelines.datasets import listing, native, native_source
from pipelines.datasets.base import FILES_READ, Dataset, Examination, Finding, Item
from pipelines.datasets.described import Described
from pipelines.datasets.format import Format
from pipelines.datasets.formats import FORMATS
from pipelines.datasets.source import Label, Source
from pipelines.datasets.splits import MADE
from pipelines.errors import DatasetError
from pipelines.reading import DataReading
from pipelines.schema import SPLITS

__all__ = [
    "FORMATS",
    "Dataset",
    "Examination",
    "Finding",
    "Format",
    "Item",
    "Label",
    "Recognised",
    "Source",
    "full_reading",
    "open_dataset",
    "open_source",
    "recognise",
    "recognised_text",
    "resolved_reading",
]


@dataclass(frozen=True)
class Recognised:
    """A format that a folder can be read in, and the reason to think so."""

    format: str
    reason: str


def recognise(path: str | Path) -> tuple[Recognised, ...]:
    """Formats that know a folder, the likeliest first. Raises DatasetError when it is not a folder."""
    root = _folder(path)
    found = ((name, one.recognise(root)) for name, one in FORMATS.items())
    return tuple(Recognised(name, reason) for name, reason in found if reason is not None)


def open_source(path: str | Path, reading: DataReading | None = None) -> tuple[str, Source]:
    """Format and source of a folder: the reading's format, or the first that recognises it. Raises DatasetError."""
    said = reading or DataReading()
    root = _folder(path)
    chosen = said.format or _first(root, path)
    one = FORMATS.get(chosen)
    if one is None:
        raise DatasetError(f"there is no data set format {chosen!r}; available formats are {', '.join(FORMATS)}")
    wrong = sorted(set(said.options) - set(one.options))
    if wrong:
        known = f"its options are {', '.join(one.options)}" if one.options else "it has none"
        raise DatasetError(f"the format {chosen} has no option {wrong[0]!r}; {known}")
    with links.reading(root) as found:
        source = one.open(root, said.options)
    source.findings = (*source.findings, *listing.passed_over(found, root))
    return chosen, source


def open_dataset(path: str | Path, reading: DataReading | None = None) -> Dataset:
    """Open a data set for reading; looks at names and tables, and at masks only to find out whether labels overlap.

    reading: what is said beside the files; without a format the first that recognises the folder is taken.
    Raises DatasetError when nothing is there, no format knows it, or its tables or the reading don't fit.
    """
    said = reading or DataReading()
    if (
        said.model_copy(update={"format": None}) == DataReading()
        and (said.format or _first(_folder(path), path)) == "native"
    ):
        return native.open_native(_folder(path))
    chosen, source = open_source(path, said)
    return Described(source, said.model_copy(update={"format": chosen}))


def resolved_reading(dataset: Dataset) -> DataReading:
    """A reading that says everything about how an open data set is read."""
    return dataset.reading if isinstance(dataset, Described) else DataReading(format="native")


def full_reading(dataset: Dataset) -> DataReading:
    """The same with classes and kind spelt out for native folders too, as a table to be edited begins."""
    if isinstance(dataset, Described):
        return dataset.reading
    return Described(native_source.NativeSource(dataset.root), DataReading(format="native", kind=dataset.kind)).reading


def recognised_text(dataset: Dataset) -> str:
    """One line on the format a data set is read in, why, which others would do, what is left out, and its splits."""
    chosen = resolved_reading(dataset).format or "native"
    found = recognise(dataset.root)
    reasons = {one.format: one.reason for one in found}
    others = [name for name in reasons if name != chosen]
    why = f": {reasons[chosen]}" if chosen in reasons else " as asked for"
    rest = f"; could also be {', '.join(others)} (--data-format)" if others else ""
    made = [finding.message for finding in dataset.structure() if finding.code == MADE]
    counts = ", ".join(f"{split} {len(dataset.images(split))}" for split in SPLITS)
    notes = [finding.message.split(";")[0] for finding in dataset.structure() if finding.code in FILES_READ]
    notes += made or [f"splits as the data set gives them: {counts}"]
    return "; ".join([f"{dataset.root.name} is read as {chosen} ({FORMATS[chosen].title}){why}{rest}", *notes])


def _folder(path: str | Path) -> Path:
    root = Path(path).expanduser().resolve()
    if not root.is_dir():
        raise DatasetError(f"{path} is not a folder; give the folder of a data set, such as one with dataset.toml")
    return root


def _first(root: Path, path: str | Path) -> str:
    """The likeliest format, without asking the ones after it. Raises DatasetError when no format knows the folder."""
    with links.reading(root) as met:
        found = next((name for name, one in FORMATS.items() if one.recognise(root) is not None), None)
    if found is None:
        there = sorted(one.name for one in root.iterdir() if not one.name.startswith("."))
        some = ", ".join(repr(name)[1:-1][:40] for name in there[:5]) + (" …" if len(there) > 5 else "")
        closed = sum(one.is_symlink() and not links.of(root).follows(one) for one in root.iterdir())
        told = f", {closed} of them links that lead nowhere or out of the folders that may be read" if closed else ""
        told = told or "".join(f"; {note.message}" for note in listing.passed_over(met, root))
        raise DatasetError(
            f"{path} is in no known format (it holds {some or 'nothing'}{told}); known are {', '.join(FORMATS)}: see "
            "docs/data-formats.md for how each lies on the disk, or name the one it is"
        )
    return found
