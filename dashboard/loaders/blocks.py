"""One image and one or two heads to the block of bytes that the viewer draws from; the next image is made ahead."""

from collections import OrderedDict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock
from typing import Final, NamedTuple, TypeAlias

import streamlit as st

from dashboard.loaders.pixels import read_prediction
from dashboard.loaders.runs import KEY, dataset
from dashboard.viewer import payload
from pipelines.schema import Head, Split
from pipelines.store import Prediction, Run

Asked: TypeAlias = tuple[Run, Split, tuple[Head, ...], int, str, bool]


class Block(NamedTuple):
    """What the viewer needs to show an image, and what it can wait for.

    seen: of `payload.pack`. Header: width and height of what is sent, step (every how manieth pixel it is), full (width
    and height of the image). Parts: the image as JPEG, truth, then on exclusive truth the class of the largest log-odds
    of each head, otherwise the codes of each head. cells: on exclusive truth the codes of each head, nine tenths of all
    bytes, as the parts of a block; otherwise empty.
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
    if not exclusive:
        return Block(payload.pack(header, [*parts, *codes]), b"")
    return Block(payload.pack(header, [*parts, *largest]), payload.pack({}, codes))
