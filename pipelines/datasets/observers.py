"""Several people's truth of the same images to one: of one of them or of most, and the share who marked a label."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets.base import Finding, Picture, Size, Source, Truth
from pipelines.errors import DatasetError
from pipelines.sentences import listed, printable

MAJORITY: Final = "majority"
OPTION: Final = "observer"
OPTIONS: Final[dict[str, str]] = {
    OPTION: "several people marked the same pictures: the one whose masks are the truth, such as 2, or majority; else "
    "the first of two, and the majority of more"
}
MOST: Final = 64  # observers


class ObservedSource(Source):
    """Sources of the same pictures, one an observer. What they share is kept as soft truth, whoever's truth is taken.

    A pixel carries a label in the majority's truth where at least half of those who marked the image give it; where
    every pixel has exactly one label, it is the one that most give. A pixel counts where it does for all of them.
    """

    soft = True

    def __init__(self, observers: Mapping[str, Source], truth: str = "", *, otherwise: str = "") -> None:
        """observers: sources by name, first the one who is first. truth: a name, MAJORITY, or "" for the usual.

        otherwise: how to read the same files in another way, to be told.

        Raises DatasetError for the name of nobody, and for more than MOST.
        """
        if len(observers) > MOST:
            raise DatasetError(f"{len(observers):,} observers marked this set, allowed are {MOST}; leave some out")
        usual = next(iter(observers)) if len(observers) < 3 else MAJORITY
        self.truth_of = MAJORITY if truth.casefold() == MAJORITY else truth or usual
        if self.truth_of not in (*observers, MAJORITY):
            raise DatasetError(
                f"{OPTION} must be {listed([*observers, MAJORITY], 'or')}, got {printable(truth[:80])!r}"
            )
        self._observers = dict(observers)
        first = self._first = observers[next(iter(observers)) if self.truth_of == MAJORITY else self.truth_of]
        self.root, self.name, self.spec = first.root, first.name, first.spec
        self.declared, self.priority = first.declared, first.priority
        every = [source for source in observers.values() if source is not first]
        labels = {label.name: label for source in (first, *every) for label in source.labels}
        self.labels = tuple(labels.values())
        self.exclusive = all(source.exclusive for source in observers.values())
        self.complete = all(source.complete for source in observers.values())
        at = {name: index for index, name in enumerate(labels)}
        self._places = {name: [at[label.name] for label in source.labels] for name, source in observers.items()}
        marked = (first, *every) if self.truth_of == MAJORITY else (first,)
        self._source_of = {name: source for source in reversed(marked) for name in source.names()}
        self._names = tuple(sorted(self._source_of))
        self.splits, self.groups = first.splits, {}
        for source in reversed(marked):
            self.groups = {**self.groups, **source.groups}
        self.findings = (*first.findings, self._told(otherwise))

    def names(self) -> tuple[str, ...]:
        """Images that the one whose truth is taken marked, or for the majority anybody, sorted."""
        return self._names

    def picture(self, name: str, *, size: Size | None = None) -> Picture:
        """The picture of an image, which all observers share."""
        return self._source_of[name].picture(name, size=size)

    def head(self, name: str) -> tuple[Size, int]:
        """Size and orientation of a picture."""
        return self._source_of[name].head(name)

    def misfits(self, name: str, truth: Truth | None, own: Size) -> list[Finding]:
        """What to say of a truth of another size than its picture."""
        return self._source_of[name].misfits(name, truth, own)

    def truth(self, name: str) -> Truth:
        """Truth of an image with that of each who marked it. Raises DatasetError where one's cannot be had."""
        marked = {who: source.truth(name) for who, source in self._observers.items() if name in source.names()}
        shapes = {who: truth.valid.shape for who, truth in marked.items()}
        if len(set(shapes.values())) > 1:
            sizes = listed([f"{width}×{height} by {who}" for who, (height, width) in shapes.items()], "and")
            raise DatasetError(f"the masks of {name} differ in size: {sizes}; save them at the size of the picture")
        layers = {who: self._layers(who, truth) for who, truth in marked.items()}
        valid = np.logical_and.reduce([truth.valid for truth in marked.values()])
        findings = tuple(finding for truth in marked.values() for finding in truth.findings)
        if self.truth_of != MAJORITY:
            return Truth(layers[self.truth_of], valid, findings, observers=layers)
        order = None
        if self.exclusive and self.complete:  # the background last, so that half of the votes are enough for a class
            order = sorted(range(len(self.labels)), key=lambda index: self.labels[index].role == "background")
        chosen, tied = majority(list(layers.values()), one_of=order)
        tied_share = (tied & valid).sum() / max(1, valid.sum())
        if tied_share:
            problem = (
                f"votes for a label are tied on {tied_share:.1%} of the pixels of {name}; there the label is taken as "
                "given, and of classes that exclude each other the first in order"
            )
            findings = (*findings, Finding.note("OBSERVERS-TIED", problem))
        return Truth(chosen, valid, findings, observers=layers)

    def files(self) -> Iterable[Path]:
        """The files of all observers, each once."""
        return dict.fromkeys(path for source in self._observers.values() for path in source.files())

    def _layers(self, who: str, truth: Truth) -> BoolArray:
        """One observer's layers in the order of all labels."""
        if self._places[who] == list(range(len(self.labels))):
            return truth.layers
        layers = np.zeros((len(self.labels), *truth.valid.shape), np.bool_)
        layers[self._places[who]] = truth.layers
        return layers

    def _told(self, otherwise: str) -> Finding:
        """Who marked how many images, and whose truth is taken."""
        counts = [
            f"{printable(who[:60])}: {len(set(source.names()) & set(self._names)):,}"
            for who, source in self._observers.items()
        ]
        taken = "what most of them marked" if self.truth_of == MAJORITY else f"that of {printable(self.truth_of[:60])}"
        problem = (
            f"{len(counts)} observers marked the pictures ({', '.join(counts)} of {len(self._names):,}); the "
            f"truth is {taken}, and the share who marked a pixel is kept as soft truth; the option {OPTION} takes "
            f"{listed([*(printable(who[:60]) for who in self._observers), MAJORITY], 'or')}"
            f"{f'; {otherwise}' if otherwise else ''}"
        )
        return Finding.note("OBSERVERS", problem)


def majority(observed: Sequence[BoolArray], *, one_of: Sequence[int] | None = None) -> tuple[BoolArray, BoolArray]:
    """Layers, (L, …) bool, that most observers gave, and pixels, (…) bool, on which the votes are tied.

    observed: layers of each, (L, …) bool. A label is there where at least half gave it; or, with one_of, every pixel
    has exactly one label, the one that most gave, of several the first in this order of all places.

    >>> here, nowhere = np.ones((1, 1, 1), bool), np.zeros((1, 1, 1), bool)
    >>> layers, tied = majority([here, nowhere])
    >>> bool(layers[0, 0, 0]), bool(tied[0, 0])
    (True, True)
    """
    votes = np.stack(observed).sum(axis=0, dtype=np.uint8)
    if one_of is None:
        return np.asarray(2 * votes >= len(observed), np.bool_), np.asarray((2 * votes == len(observed)).any(axis=0))
    places = np.asarray(one_of)
    winner = places[votes[places].argmax(axis=0)]
    layers = np.asarray(np.arange(len(votes)).reshape(-1, *[1] * winner.ndim) == winner, np.bool_)
    return layers, np.asarray((votes == votes.max(axis=0)).sum(axis=0) > 1, np.bool_)


def share(observed: Iterable[BoolArray]) -> Float32Array:
    """The share of observers who marked each pixel, (C, H, W) float32 in [0, 1], of the layers of each."""
    return np.mean(list(observed), axis=0, dtype=np.float32)


OTHERS: Final = "the others"  # what an observer is compared with beside each of them: their majority


def compare(
    observers: Mapping[str, BoolArray], classes: Sequence[str], *, one_of: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """Pixels that each observer and each other one, or the majority of the others, marked: both, the one, the other.

    observers: (C, N) bool each, of the pixels that count. one_of: as in `majority`.
    Returns rows of layouts.OBSERVERS_SCHEMA but for `image`; none for fewer than two observers.
    """
    rows: list[dict[str, Any]] = []
    for who, own in observers.items() if len(observers) > 1 else ():
        others = {other: marked for other, marked in observers.items() if other != who}
        against = {**others, OTHERS: majority(list(others.values()), one_of=one_of)[0]}
        for other, marked in against.items():
            pixels = [(own & marked).sum(axis=1), own.sum(axis=1), marked.sum(axis=1)]
            rows += [
                {"observer": who, "against": other, "class": name, "both": both, "own": mine, "other": theirs}
                for name, both, mine, theirs in zip(classes, *(one.tolist() for one in pixels), strict=True)
            ]
    return rows
