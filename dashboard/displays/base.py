"""What a page shows, a report prints and a notebook asks for: figures that share a table and an explanation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import pandas as pd

from dashboard import queries
from dashboard.charts import Drawn
from dashboard.how_to_read import HOW_TO_READ
from dashboard.theme import Theme
from pipelines.heads import missing_head
from pipelines.schema import ALL_SEEDS, Head, Region, Split, Variant
from pipelines.sentences import capitalised, no_value, none_carries, not_tuned
from pipelines.store.runs import Run

T = TypeVar("T")
SPLIT_TITLES: Final[Mapping[str, str]] = {"train": "Training", "val": "Validation", "test": "Test"}
VARIANT_TITLES: Final[Mapping[Variant, str]] = {
    "raw": "As trained",
    "temperature": "After temperature",
    "temperature-by-class": "By class",
}


class NoSuchPicture(KeyError):
    """A display has no picture of that key."""

    def __init__(self, key: str | None, keys: Sequence[str]) -> None:
        known = f"choose one of {', '.join(keys)}" if keys else "this display has none"
        super().__init__(f"there is no picture {key!r}; {known}" if key else "there is nothing to draw")


class Picture(NamedTuple):
    """A figure. key: its name on the page and in file names; alt: what it shows, for those who do not see it."""

    key: str
    figure: Drawn
    alt: str


@dataclass(frozen=True)
class Display:
    """Pictures side by side, the table behind them and how to read them: what a page shows, a report prints, a CSV file
    holds and a notebook draws.

    key: unique among a page's displays, part of file names. how: an entry of HOW_TO_READ. percent: columns of the table
    that are shares. columns: how many pictures fit side by side in a wide window.
    """

    key: str
    title: str
    pictures: tuple[Picture, ...]
    table: pd.DataFrame
    how: str
    percent: tuple[str, ...] = ()
    columns: int = 3

    def frame(self) -> pd.DataFrame:
        """The table behind the pictures, which its CSV file holds."""
        return self.table

    def figure(self, key: str | None = None) -> Drawn:
        """A picture as a Plotly figure: the one of that key, else the first. Raises NoSuchPicture."""
        for picture in self.pictures:
            if key in (None, picture.key):
                return picture.figure
        raise NoSuchPicture(key, [picture.key for picture in self.pictures])

    @property
    def how_to_read(self) -> str:
        """What to look at, in a few sentences."""
        return HOW_TO_READ[self.how]


@dataclass(frozen=True)
class Selection:
    """What a page's controls say of a run, or a report of one; a panel reads the fields that its page has controls for.

    seeds: all of the run, or one. contender: a head of the run, which sigmoid is compared with; where there is nothing
    to compare, the head that is shown alone; panels that show every head do not ask for it. class_name: None for the
    mean of the classes. soft: probabilities are held against the soft truth.
    """

    run: Run
    split: Split
    seeds: tuple[int, ...]
    contender: Head = "softmax"
    variant: Variant = "raw"
    region: Region = "all"
    metric: str = "dice"
    class_name: str | None = None
    soft: bool = False

    @property
    def heads(self) -> tuple[Head, ...]:
        """Sigmoid, then the one it is compared with; or one alone."""
        return queries.runs.shown_heads(self.run, self.contender)

    @property
    def pair(self) -> bool:
        """Whether the run has two heads to compare."""
        return missing_head(self.run.heads) is None

    @property
    def row_seed(self) -> int:
        """`seed` of the stored rows over these seeds."""
        return ALL_SEEDS if self.seeds == self.run.seeds else self.seeds[0]

    def once(self, make: "Callable[[Selection, Theme], T]", theme: Theme) -> T:
        """What no slider of the page changes, made when it is first asked for: each step of a slider makes the rest."""
        kept: dict[Any, T] = self.__dict__.setdefault("_kept", {})
        key = (make, theme.dark)
        if key not in kept:
            kept[key] = make(self, theme)
        return kept[key]


def selection_of(subject: Run | Selection) -> Selection:
    """A selection as it is; of a run its test images, all its seeds and, beside sigmoid, its first other head."""
    if isinstance(subject, Selection):
        return subject
    split: Split = "test" if "test" in subject.splits else subject.splits[0]
    others = [head for head in subject.heads if head != "sigmoid"]
    return Selection(subject, split, subject.seeds, others[0] if others else subject.heads[0])


# What is right of the pixels without a class needs none with it.
_WITHOUT_TRUTH: Final = ("specificity", "accuracy", "pixel_accuracy")


def classes_without_value(run: Run, split: Split, metric: str) -> tuple[str, ...]:
    """Classes that have no score in these images, because no pixel carries them."""
    return () if metric in _WITHOUT_TRUTH else queries.counts.absent_classes(run, split)


def absence_note(run: Run, split: Split) -> str:
    """Which classes the images shown do not have, and what that does to their scores."""
    absent = queries.counts.absent_classes(run, split)
    if not absent:
        return ""
    them = "it" if len(absent) == 1 else "them"
    return (
        f"{capitalised(none_carries(absent, split))}, so scores that need true pixels of {them} have no value, "
        f"and the mean of the classes leaves {them} out."
    )


def why_no_value(run: Run, split: Split, label: str, class_name: str | None = None) -> str:
    """Why a metric of a class has no value. label: what the metric is called; class_name: None for the mean of all."""
    names = list(queries.runs.dataset(run)["classes"])
    absent = queries.counts.absent_classes(run, split)
    name = names[0] if len(names) == 1 else class_name
    if name is None:
        return f"{capitalised(no_value(f'the mean {label}', 'any class', split))}." if set(absent) == set(names) else ""
    return f"{capitalised(no_value(label, name, split))}." if name in absent else ""


def untuned_note(run: Run, class_name: str | None = None) -> str:
    """Which thresholds could not be tuned on validation, and what is used. class_name: None for every class."""
    absent = queries.counts.absent_classes(run, "val") if "val" in run.splits else ()
    names = [name for name in absent if class_name in (None, name)]
    return f"{capitalised(not_tuned(names, 'val'))}." if names else ""
