"""Several people's truth of the same images to one: of one of them or of most, and the share who marked a label."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets.base import Finding, Picture, Size, Source, Truth, UnusableTruth
from pipelines.errors import DatasetError
from pipelines.schema import SPLITS
from pipelines.sentences import count_of, listed, printable

MAJORITY: Final = "majority"
OTHERS: Final = "the others"  # what an observer is compared with beside each of them: their majority
OPTION: Final = "observer"
OPTIONS: Final[dict[str, str]] = {
    OPTION: "several people marked the same pictures: the one whose masks are the truth, such as 2, or majority; else "
    "the first of two, and the majority of more"
}
MOST: Final = 64  # observers
_OWN: Final = ""  # in place of a name: the truth that none of them marked


class ObservedSource(Source):
    """Sources of the same pictures, one an observer. What they share is kept as soft truth, whoever's truth is taken.

    A pixel carries a label in the majority's truth where at least half of those who marked the image give it; where
    every pixel has exactly one label, it is the one that most give. A pixel counts where it does for all of them.
    """

    def __init__(
        self, observers: Mapping[str, Source], truth: str = "", *, own: Source | None = None, otherwise: str = ""
    ) -> None:
        """observers: sources by name, first the one who is first. truth: a name, MAJORITY, or "" for the usual.

        own: a truth of nobody among them, such as what they agreed on later; it is the usual one then.
        otherwise: how to read the same files in another way, to be told.

        Raises DatasetError for the name of nobody, one that means something else, and for more than MOST.
        """
        if len(observers) > MOST:
            raise DatasetError(f"{len(observers):,} observers marked this set, allowed are {MOST}; leave some out")
        reserved = next((who for who in observers if who.casefold() in (MAJORITY, OTHERS)), None)
        if reserved is not None:
            raise DatasetError(f"an observer is called {reserved!r}, which means something else; call it otherwise")
        self.truth_of = _OWN if own is not None and not truth else whose(observers, truth)
        if self.truth_of not in (*observers, MAJORITY) and (own is None or truth):
            raise DatasetError(
                f"{OPTION} must be {listed([*observers, MAJORITY], 'or')}, got {printable(truth[:80])!r}"
            )
        self._observers = dict(observers)
        self._own = own if self.truth_of == _OWN else None
        first = self._own or observers[next(iter(observers)) if self.truth_of == MAJORITY else self.truth_of]
        self.root, self.name, self.spec = first.root, first.name, first.spec
        self.declared, self.priority, self.bands = first.declared, first.priority, first.bands
        sources = self._sources()
        every = [source for source in sources.values() if source is not first]
        labels = {label.name: label for source in (first, *every) for label in source.labels}
        self.labels = tuple(labels.values())
        self.exclusive = all(source.exclusive for source in sources.values())
        self.complete = all(source.complete for source in sources.values())
        at = {name: index for index, name in enumerate(labels)}
        self._places = {who: [at[label.name] for label in source.labels] for who, source in sources.items()}
        self._says_soft = any(source.soft for source in sources.values())
        self.soft = self._says_soft or len(observers) > 1
        marked = (first, *every) if self.truth_of == MAJORITY else (first,)
        self._source_of = {name: source for source in reversed(marked) for name in source.names()}
        self._names = tuple(sorted(self._source_of))
        self.groups = {}
        for source in reversed(marked):
            self.groups = {**self.groups, **source.groups}
        split_names = {split: [name for one in marked for name in one.splits.get(split, ())] for split in SPLITS}
        self.splits = {split: tuple(dict.fromkeys(names)) for split, names in split_names.items() if names}
        self.findings = (*dict.fromkeys(_findings(first, marked, every)), self._told(otherwise))

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
        """What to say of a truth of another size than its picture, of everyone's files."""
        marked = (source for source in self._sources().values() if name in source.names())
        return list(dict.fromkeys(finding for source in marked for finding in source.misfits(name, truth, own)))

    def probabilities(self, name: str) -> Float32Array | None:
        """Known label probabilities, where the files have them."""
        source = self._source_of[name]
        return source.probabilities(name) if source.labels == self.labels else None

    def truth(self, name: str) -> Truth:
        """Truth of an image with that of each who marked it. Raises DatasetError where one's cannot be had."""
        marked = self._truths(name)
        shapes = {who: truth.valid.shape for who, truth in marked.items()}
        if len(set(shapes.values())) > 1:
            sizes = listed([f"{width}×{height} by {printable(who[:60])}" for who, (height, width) in shapes.items()])
            problem = f"the masks of {name} differ in size: {sizes}; save them at the size of the picture"
            raise UnusableTruth(problem, (Finding.error("PAIR-SIZE", problem),))
        valid = np.logical_and.reduce([truth.valid for truth in marked.values()])
        findings = tuple(dict.fromkeys(finding for truth in marked.values() for finding in truth.findings))
        layers = {who: self._layers(who, truth.layers) for who, truth in marked.items()}
        soft = next((self._layers(who, truth.soft) for who, truth in marked.items() if truth.soft is not None), None)
        own = layers.pop(_OWN, None)
        if own is not None or self.truth_of != MAJORITY:
            return Truth(layers[self.truth_of] if own is None else own, valid, findings, soft, layers)
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
        return Truth(chosen, valid, findings, soft, layers)

    def files(self) -> Iterable[Path]:
        """The files of all observers, and of a truth of its own, each once."""
        return dict.fromkeys(path for source in self._sources().values() for path in source.files())

    def _sources(self) -> dict[str, Source]:
        return {**({} if self._own is None else {_OWN: self._own}), **self._observers}

    def _truths(self, name: str) -> dict[str, Truth]:
        """The truth of an image by who marked it. Raises UnusableTruth with what is wrong with that of each."""
        marked: dict[str, Truth] = {}
        problems: list[DatasetError] = []
        for who, source in self._sources().items():
            try:
                if name in source.names():
                    marked[who] = source.truth(name)
            except DatasetError as error:
                problems.append(error)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            findings = [
                error.findings if isinstance(error, UnusableTruth) else [Finding.error("MASK-UNREADABLE", str(error))]
                for error in problems
            ]
            raise UnusableTruth(str(problems[0]), tuple(finding for each in findings for finding in each))
        return marked

    def _layers(self, who: str, given: NDArray[Any]) -> NDArray[Any]:
        """One's layers, (L, H, W), in the order of all labels."""
        if self._places[who] == list(range(len(self.labels))):
            return given
        layers = np.zeros((len(self.labels), *given.shape[1:]), given.dtype)
        layers[self._places[who]] = given
        return layers

    def _told(self, otherwise: str) -> Finding:
        """Who marked how many images, and whose truth is taken."""
        counts = [
            f"{printable(who[:60])}: {len(set(source.names()) & set(self._names)):,}"
            for who, source in self._observers.items()
        ]
        taken = {_OWN: "none of theirs", MAJORITY: "what most of them marked"}.get(
            self.truth_of, f"that of {printable(self.truth_of[:60])}"
        )
        shared = len(counts) > 1 and not self._says_soft
        share_kept = ", and the share who marked a pixel is kept as soft truth" if shared else ""
        problem = (
            f"{count_of(len(counts), 'observer')} marked the pictures ({', '.join(counts)} of {len(self._names):,}); "
            f"the truth is {taken}{share_kept}; the option {OPTION} takes "
            f"{listed([*(printable(who[:60]) for who in self._observers), MAJORITY], 'or')}"
            f"{f'; {otherwise}' if otherwise else ''}"
        )
        return Finding.note("OBSERVERS", problem)


def whose(observers: Iterable[str], truth: str = "") -> str:
    """The observer whose truth is taken, or MAJORITY. truth: what is asked for; "" for the usual.

    >>> whose(["anna", "ben"]), whose(["anna", "ben", "cleo"])
    ('anna', 'majority')
    """
    first, *others = observers
    return MAJORITY if truth.casefold() == MAJORITY else truth or (first if len(others) < 2 else MAJORITY)


def _findings(first: Source, marked: Sequence[Source], others: Iterable[Source]) -> Iterable[Finding]:
    """What is said of the first source, and what is wrong with the others.

    A split is only lost where none of those whose truth is taken (marked) has an image of it.
    """
    for finding in first.findings:
        if finding.code != "SPLIT-LOST" or all(finding in source.findings for source in marked):
            yield finding
    for source in others:
        yield from (one for one in source.findings if one.severity != "note" and one.code != "SPLIT-LOST")


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
