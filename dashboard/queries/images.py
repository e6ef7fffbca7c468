"""Single images of a run: what the networks saw, what they said, pictures of it, and which show a thing best."""

import io
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event, Lock
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import streamlit as st
from PIL import Image

from dashboard import pictures
from dashboard.queries.counts import counts, whole_counts
from dashboard.queries.runs import KEY, dataset
from dashboard.viewer import payload
from pipelines.arrays import BoolArray, Float16Array, Int64Array, UInt8Array
from pipelines.counting.counts import Counts
from pipelines.counting.grid import first_cell_above
from pipelines.heads import decide, sigmoid
from pipelines.metrics.base import claimed, pixels_by_labels
from pipelines.metrics.confusion import Cell, cell_mask, cell_pixels, most_pixels
from pipelines.schema import Head, Split
from pipelines.store.predictions import Prediction
from pipelines.store.runs import Run


class PixelValues(NamedTuple):
    """One pixel of one image: which classes are there, whether it counts, and each head's log-odds, (C,) each."""

    truth: BoolArray
    valid: bool
    log_odds: dict[Head, Float16Array]

    def probability(self, head: Head) -> list[float]:
        """p of each class."""
        return [float(value) for value in sigmoid(self.log_odds[head].astype(np.float32))]


@st.cache_data(max_entries=12, show_spinner=False, hash_funcs=KEY)
def prediction(run: Run, split: Split, head: Head, seed: int, image: str) -> Prediction:
    """One image of one head, from its own row group, kept for the next who asks."""
    return read_prediction(run, split, head, seed, image)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEY)
def preview(run: Run, split: Split, image: str) -> UInt8Array:
    """One image as the networks saw it, (H, W, 3) uint8."""
    with Image.open(io.BytesIO(run.preview(split, image))) as picture:
        return np.asarray(picture.convert("RGB"))


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEY)
def pixel_values(
    run: Run, split: Split, heads: tuple[Head, ...], seed: int, image: str, x: int, y: int
) -> PixelValues | None:
    """What is stored of one pixel; None when the image has no such pixel."""
    found = {head: read_prediction(run, split, head, seed, image) for head in heads}
    first = found[heads[0]]
    height, width = first.valid.shape
    if not (0 <= x < width and 0 <= y < height):
        return None
    log_odds = {head: one.log_odds[:, y, x].copy() for head, one in found.items()}
    return PixelValues(first.truth[:, y, x].copy(), bool(first.valid[y, x]), log_odds)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEY)
def example(run: Run, split: Split, image: str) -> tuple[bytes, bytes]:
    """An image and its true labels over it, as JPEG files."""
    facts, picture = dataset(run), preview(run, split, image)
    shown = prediction(run, split, run.heads[0], run.seeds[0], image)
    labels = pictures.label_picture(
        picture, shown.truth, facts["colors"], valid=shown.valid, outlines=facts["kind"] != "exclusive"
    )
    return pictures.jpeg(pictures.enlarge(picture)), pictures.jpeg(labels)


def read_prediction(run: Run, split: Split, head: Head, seed: int, image: str) -> Prediction:
    """The same as `prediction`, neither looked up nor kept: copies in a cache take longer than reading again."""
    with run.predictions(split, head, seed) as reader:
        return reader.read(image)


Shows: TypeAlias = Literal["differences", "truth", "first", "second", "image"]


@st.cache_data(max_entries=2000, show_spinner=False, hash_funcs=KEY)
def thumbnail(
    run: Run,
    split: Split,
    image: str,
    *,
    seed: int,
    heads: tuple[Head, ...],
    shows: Shows = "differences",
    colors: tuple[str, str, str] = ("#0072b2", "#d55e00", "#8a6fb0"),
) -> bytes:
    """A small JPEG of one image, some 10 kB.

    heads: two, or the only one. shows: where two heads differ, the true labels, the labels of the first or second head,
    or the image alone.
    colors: "#rrggbb" of pixels that only the first head, only the second and neither gets right where they differ.
    Labels are those of the run's scores: the largest p on exclusive truth, else p > 0.5.
    """
    picture = preview(run, split, image)
    if shows == "image":
        return _small(picture)
    facts = dataset(run)
    exclusive = facts["kind"] == "exclusive"
    wanted = heads if shows == "differences" else heads[1:] if shows == "second" else heads[:1]

    def labelled(head: Head) -> tuple[Prediction, BoolArray]:
        one = read_prediction(run, split, head, seed, image)
        return one, one.truth if shows == "truth" else decide(one.log_odds, rule="argmax" if exclusive else "threshold")

    with ThreadPoolExecutor(len(wanted)) as pool:
        found = list(pool.map(labelled, wanted))
    one, labels = found[0]
    if shows == "differences":
        codes = pictures.comparison(one.truth, labels, found[1][1], one.valid)
        return _small(pictures.comparison_picture(picture, codes, colors))
    drawn = pictures.label_picture(picture, labels, facts["colors"], valid=one.valid, outlines=not exclusive)
    return _small(drawn)


def _small(picture: UInt8Array) -> bytes:
    return pictures.jpeg(pictures.shrink(picture), quality=80)


def within(seconds: float, images: Sequence[str], make: Callable[[str], bytes]) -> list[bytes | None]:
    """As many thumbnails as can be made in a time, one at least, in order; None for those that are still to come."""
    made: list[bytes | None] = []
    end = time.monotonic() + seconds
    for image in images:
        late = made and time.monotonic() > end
        made.append(None if late else make(image))
    return made


Which: TypeAlias = Literal["several", "none"]
MOST_LABELS: Final = 3  # this number of labels stands for it and all above
_MOST_READ: Final = 16  # images looked into for one label set


class Example(NamedTuple):
    """An image in which some kind of pixels are most: how many, and as a share of its valid pixels."""

    image: str
    pixels: int
    share: float


class Truth(NamedTuple):
    """What the truth of each image holds. pixels: (N,); by_labels: (N, MOST_LABELS + 1) pixels by number of labels;
    by_class: (N, C) pixels of each class.
    """

    images: tuple[str, ...]
    pixels: Int64Array
    by_labels: Int64Array
    by_class: Int64Array


def _truth_of(counted: Counts) -> Truth:
    by_labels = pixels_by_labels(counted).sum(axis=1)
    return Truth(counted.images, counted.pixels, by_labels, counted.score[:, :, :, 1].sum(axis=(2, 3)))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEY)
def truth_by_image(run: Run, split: Split) -> Truth:
    """The truth of the images of a split, which the counts of any head hold; shared, so never to be written to."""
    blocks = run.map_counts(_truth_of, ("score", "ranks"), split, run.heads[0], run.seeds[:1])
    images, *arrays = zip(*blocks, strict=True)
    return Truth(tuple(name for some in images for name in some), *(np.concatenate(one) for one in arrays))


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=KEY)
def label_sets(run: Run, split: Split) -> list[tuple[tuple[int, ...], int]]:
    """The truth's label sets, as ascending class indices, with their pixels; commonest first."""
    counted = whole_counts(run, split, run.heads[0], run.seeds[:1], "raw")
    masks, place = np.unique(counted.sets[:, 0], return_inverse=True)
    pixels = np.bincount(place, weights=counted.set_pixels, minlength=len(masks))
    found = [
        (tuple(index for index in range(counted.classes) if int(mask) >> index & 1), int(count))
        for mask, count in zip(masks, pixels, strict=True)
    ]
    return sorted(found, key=lambda entry: (-entry[1], entry[0]))


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEY)
def example_of(run: Run, split: Split, labels: int, members: tuple[int, ...] | None = None) -> Example | None:
    """The image with most pixels that truly carry so many labels, or exactly these classes.

    labels: MOST_LABELS stands for so many or more. Of a set, the images are read in the order of what they could hold
    at most, until none can hold more, or sixteen were read. None when no image has such a pixel.
    """
    truth = truth_by_image(run, split)
    bound: Int64Array = truth.by_labels[:, labels]
    if members:
        bound = np.minimum(bound, truth.by_class[:, list(members)].min(axis=1))
    order = [int(at) for at in np.argsort(-bound, kind="stable")[:_MOST_READ]]
    best, most = order[0], int(bound[order[0]]) if members is None else 0
    if members is not None:
        for at in order:
            if bound[at] <= most:
                break
            shown = prediction(run, split, run.heads[0], run.seeds[0], truth.images[at])
            found = int(kind_mask(shown.truth, shown.valid, labels, members).sum())
            best, most = (at, found) if found > most else (best, most)
    if not most:
        return None
    return Example(truth.images[best], most, most / max(int(truth.pixels[best]), 1))


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=KEY)
def spread_images(run: Run, split: Split, count: int) -> list[str]:
    """Of each of `count` equal parts of a split, in file order, the image with most labels on a pixel, then classes."""
    truth = truth_by_image(run, split)
    labels = (truth.by_labels > 0) * np.arange(MOST_LABELS + 1)
    rank = labels.max(axis=1) * (truth.by_class.shape[1] + 1) + (truth.by_class > 0).sum(axis=1)
    parts = np.array_split(np.arange(len(rank)), min(count, len(rank)))
    return [truth.images[part[int(rank[part].argmax())]] for part in parts]


def kind_mask(truth: BoolArray, valid: BoolArray, labels: int, members: tuple[int, ...] | None) -> BoolArray:
    """(H, W) bool: valid pixels with so many labels, or with exactly these classes; see `example_of`.

    truth: (C, H, W) bool; valid: (H, W) bool.
    """
    if members is not None:
        wanted = np.isin(np.arange(len(truth)), members)[:, None, None]
        return (truth == wanted).all(axis=0) & valid
    number = truth.sum(axis=0)
    return (number >= MOST_LABELS if labels == MOST_LABELS else number == labels) & valid


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEY)
def marked(
    run: Run, split: Split, image: str, labels: int, members: tuple[int, ...] | None, color: str
) -> tuple[bytes, bytes]:
    """An image, and the same faded with the pixels of a kind in a colour "#rrggbb", as a JPEG and a PNG file."""
    picture = preview(run, split, image)
    shown = prediction(run, split, run.heads[0], run.seeds[0], image)
    codes = kind_mask(shown.truth, shown.valid, labels, members).astype(np.uint8)
    return pictures.jpeg(pictures.enlarge(picture)), pictures.png(pictures.comparison_picture(picture, codes, [color]))


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=KEY)
def worst_images(
    run: Run, split: Split, head: Head, seed: int, threshold: float, which: Which, count: int
) -> list[Example]:
    """Images with most pixels that a head gives two labels or more where the truth has at most one, or none where the
    truth has some, at p > threshold (k/300); those without such a pixel are left out.
    """
    found = partial(_wrong, first=first_cell_above(threshold), which=which)
    images, wrongs, pixels = zip(*run.map_counts(found, ("ranks",), split, head, (seed,)), strict=True)
    names = [name for some in images for name in some]
    wrong, whole = np.concatenate(wrongs), np.concatenate(pixels)
    order = np.argsort(-wrong, kind="stable")[:count]
    return [Example(names[at], int(wrong[at]), int(wrong[at]) / max(int(whole[at]), 1)) for at in order if wrong[at]]


def _wrong(counted: Counts, *, first: int, which: Which) -> tuple[tuple[str, ...], Int64Array, Int64Array]:
    """Names of the images, their pixels of a kind at the cells from first on, and all their pixels."""
    labels = pixels_by_labels(counted)
    if which == "several":
        wrong = claimed(counted, labels=2, first_cell=first)[:, :, :2].sum(axis=(1, 2))
    else:
        left = labels - claimed(counted, labels=1, first_cell=first)
        wrong = left[:, :, 1:].sum(axis=(1, 2))
    return counted.images, wrong, labels.sum(axis=(1, 2))


def label_codes(truth: BoolArray, above: BoolArray, valid: BoolArray, which: Which) -> UInt8Array:
    """(H, W) uint8: 1 where a head gives several labels, or none, against the truth, 2 where several are right, else 0.

    truth, above: (C, H, W) bool; valid: (H, W) bool.
    """
    true, given = truth.sum(axis=0), above.sum(axis=0)
    if which == "none":
        return ((given == 0) & (true > 0) & valid).astype(np.uint8)
    codes = np.where(true < 2, 1, 2)
    return np.where((given >= 2) & valid, codes, 0).astype(np.uint8)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEY)
def label_map(
    run: Run, split: Split, head: Head, seed: int, image: str, threshold: float, which: Which, colors: tuple[str, str]
) -> bytes:
    """`label_codes` of one image over the faded image as a PNG file. colors: of codes 1 and 2, "#rrggbb"."""
    shown = prediction(run, split, head, seed, image)
    above = decide(shown.log_odds, rule="threshold", thresholds=threshold)
    codes = label_codes(shown.truth, above, shown.valid, which)
    return pictures.png(pictures.comparison_picture(preview(run, split, image), codes, colors))


MOST_READ: Final = 8  # images looked at where counts do not say how many pixels each has: a quarter of a second


class Marked(NamedTuple):
    """An image, its pixels of the cell, and a PNG file in which they are marked."""

    image: str
    pixels: int
    picture: bytes


class CellImages(NamedTuple):
    """The images with the most pixels of a cell.

    total: pixels of the cell in all images. pixels: of each image by name, where counts say so, else None. looked_at:
    images that were read to find out. certain: whether no other image can have more than those shown.
    """

    marked: tuple[Marked, ...]
    total: int
    pixels: dict[str, int] | None
    looked_at: int
    certain: bool


@st.cache_data(max_entries=32, show_spinner="Looking for the pixels …", hash_funcs=KEY)
def cell_images(run: Run, split: Split, head: Head, seed: int, cell: Cell, color: str, *, most: int = 4) -> CellImages:
    """Images with the most pixels of a cell, largest first. color: "#rrggbb" of the pixels.

    Where counts bound an image's pixels only, the MOST_READ images with the highest bounds are read and counted.
    """
    counted = counts(run, split, head, (seed,), "raw")
    known = cell_pixels(counted, cell)
    likeliest = (-known.pixels).argsort(kind="stable")[: most if known.exact else MOST_READ]
    likeliest = likeliest[known.pixels[likeliest] > 0]
    masks: dict[int, BoolArray] = {}
    found: dict[int, int] = {}
    with run.predictions(split, head, seed) as reader:
        for place in likeliest.tolist():
            one = reader.read(counted.images[place])
            width = int(run.facts["boundary_width"]) if cell.region != "all" else 0
            masks[place] = cell_mask(cell, one.truth, one.valid, one.log_odds, width=width)
            found[place] = int(masks[place].sum())
            if not known.exact and most_pixels(known, found, most=most)[1]:
                break
    shown, certain = most_pixels(known, found, most=most)
    marked = []
    for place in shown:
        name = counted.images[place]
        picture = pictures.png(marked_picture(preview(run, split, name), masks[place], color))
        marked.append(Marked(name, found[place], picture))
    pixels = dict(zip(counted.images, known.pixels.tolist(), strict=True)) if known.exact else None
    return CellImages(tuple(marked), known.total, pixels, len(masks), certain)


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=KEY)
def error_picture(
    run: Run, split: Split, image: str, seed: int, heads: tuple[Head, ...], name: str | None, colors: tuple[str, ...]
) -> bytes:
    """Errors over the faded image, as a PNG file.

    heads: one, whose wrong pixels are marked in the first colour; or two, of which the pixels that only the first gets
    right, only the second, and neither of two that differ, are marked in the three colours. name: the class whose
    label alone counts, None for all labels of a pixel.
    """
    facts = dataset(run)
    rule: Literal["argmax", "threshold"] = "argmax" if facts["kind"] == "exclusive" else "threshold"
    kept = slice(None) if name is None else slice(facts["classes"].index(name), facts["classes"].index(name) + 1)
    decided = []
    for head in heads:
        one = read_prediction(run, split, head, seed, image)
        decided.append(decide(one.log_odds, rule=rule)[kept])
    truth, valid = one.truth[kept], one.valid
    if len(heads) == 1:
        codes = ((decided[0] != truth).any(axis=0) & valid).astype(np.uint8)
    else:
        codes = pictures.comparison(truth, decided[0], decided[1], valid)
    return pictures.png(pictures.comparison_picture(preview(run, split, image), codes, colors))


Asked: TypeAlias = tuple[Run, Split, tuple[Head, ...], int, str, bool]


class Block(NamedTuple):
    """What the viewer needs to show an image, and what it can wait for.

    seen: of `payload.pack`. Header: width and height of what is sent, step (every how manieth pixel it is), full (width
    and height of the image), soft where there is a soft truth. Parts: the image as JPEG, truth, the soft truth if there
    is one, then on exclusive truth the class of the largest log-odds of each head, otherwise the codes of each head.
    cells: on exclusive truth the codes of each head, nine tenths of all bytes, as the parts of a block; else empty.
    """

    seen: bytes
    cells: bytes


_KEPT: Final = 24  # blocks of the cache; 1 to 3 MB each for 11 classes of 480 × 360
_WAITING: Final = 8  # blocks made ahead that nobody has asked for yet
_REST: Final = 0.25  # seconds in which the browser draws the image that was just sent


class _Ahead:
    """Blocks in the making; one thread makes them, after a rest, so that readers keep the processor."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="block")
        self._waiting: OrderedDict[tuple[object, ...], tuple[Future[Block], Event]] = OrderedDict()
        self._taken: deque[tuple[object, ...]] = deque(maxlen=_KEPT)  # the cache still holds these

    def ask(self, asked: Asked) -> None:
        """Begin to make a block unless that was asked for already."""
        key = _key(asked)
        with self._lock:
            if key in self._waiting or key in self._taken:
                return
            hurry = Event()
            self._waiting[key] = self._pool.submit(_rested_block, hurry, asked), hurry
            while len(self._waiting) > _WAITING:
                future, _ = self._waiting.popitem(last=False)[1]
                future.cancel()

    def take(self, asked: Asked) -> Block:
        """A block that was made ahead, waiting for it if it is being made, else made now. Raises RunError."""
        key = _key(asked)
        with self._lock:
            found = self._waiting.pop(key, None)
            self._taken.append(key)
        if found is None or found[0].cancel():  # not begun: no sooner there than made here
            return _block(*asked)
        future, hurry = found
        hurry.set()
        return future.result()


def _rested_block(hurry: Event, asked: Asked) -> Block:
    hurry.wait(_REST)
    return _block(*asked)


def _key(asked: Asked) -> tuple[object, ...]:
    return (str(asked[0].folder), asked[0].checksum, *asked[1:])


@st.cache_resource(show_spinner=False)
def _ahead() -> _Ahead:
    return _Ahead()


@st.cache_resource(max_entries=_KEPT, show_spinner=False, hash_funcs=KEY)
def viewer_block(run: Run, split: Split, heads: tuple[Head, ...], seed: int, image: str) -> Block:
    """All that the viewer shows of one image and two heads, or the only one; see `payload`.

    Raises RunError when there is no such image.
    """
    return _ahead().take((run, split, heads, seed, image, dataset(run)["kind"] == "exclusive"))


def make_ahead(run: Run, split: Split, heads: tuple[Head, ...], seed: int, image: str) -> None:
    """Make a block that will soon be asked for, in the background."""
    _ahead().ask((run, split, heads, seed, image, dataset(run)["kind"] == "exclusive"))


def _block(run: Run, split: Split, heads: tuple[Head, ...], seed: int, image: str, exclusive: bool) -> Block:
    def packed(head: Head) -> tuple[Prediction, int, bytes, bytes]:
        one = read_prediction(run, split, head, seed, image)
        step = payload.step_of(*one.log_odds.shape)
        log_odds = one.log_odds[:, ::step, ::step]
        return one, step, payload.codes_part(log_odds), payload.largest_part(log_odds) if exclusive else b""

    # The heads at once: reading and deflating leave the interpreter free.
    with ThreadPoolExecutor(len(heads)) as pool:
        found = list(pool.map(packed, heads))
    one, step, _, _ = found[0]
    truth, valid = one.truth[:, ::step, ::step], one.valid[::step, ::step]
    height, width = valid.shape
    header = {"width": width, "height": height, "step": step, "full": [one.valid.shape[1], one.valid.shape[0]]}
    _, _, codes, largest = zip(*found, strict=True)
    parts = [run.preview(split, image), payload.truth_part(truth, valid)]
    if one.soft is not None:
        header["soft"] = True
        parts.append(payload.soft_part(one.soft[:, ::step, ::step]))
    if not exclusive:
        return Block(payload.pack(header, [*parts, *codes]), b"")
    return Block(payload.pack(header, [*parts, *largest]), payload.pack({}, codes))


def marked_picture(image: UInt8Array, mask: BoolArray, color: str) -> UInt8Array:
    """Pixels of a mask in a colour over the faded image, with a pale rim so that single ones are found.

    image: (H, W, 3) uint8; mask: (H, W) bool; color: "#rrggbb". Returns the picture enlarged.
    """
    rim = max(1, max(mask.shape) // 160)
    near = pictures.outline(~mask, width=rim)
    pale = "#" + "".join(f"{255 - (255 - int(color[at : at + 2], 16)) * 2 // 5:02x}" for at in (1, 3, 5))
    codes = np.where(mask, 1, np.where(near, 2, 0)).astype(np.uint8)
    return pictures.comparison_picture(image, codes, [color, pale])
