"""One image and one or two heads to the block of bytes that the viewer draws from; the next image is made ahead."""

from collections import OrderedDict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Final, TypeAlias

import streamlit as st

from dashboard.loaders.pixels import read_prediction
from dashboard.loaders.runs import KEY, dataset
from dashboard.viewer import payload
from pipelines.schema import Head, Split
from pipelines.storage import Prediction, Run

Asked: TypeAlias = tuple[Run, Split, tuple[Head, ...], int, str, bool]


_KEPT: Final = 24  # blocks of the cache; 1 to 3 MB each for 11 classes of 480 × 360
_WAITING: Final = 8  # blocks made ahead that nobody has asked for yet


class _Ahead:
    """Blocks in the making; one thread makes them, so that readers keep the processor."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="block")
        self._waiting: OrderedDict[tuple[object, ...], Future[bytes]] = OrderedDict()
        self._taken: deque[tuple[object, ...]] = deque(maxlen=_KEPT)  # the cache still holds these

    def ask(self, asked: Asked) -> None:
        """Begin to make a block unless that was asked for already."""
        key = _key(asked)
        with self._lock:
            if key in self._waiting or key in self._taken:
                return
            self._waiting[key] = self._pool.submit(_block, *asked)
            while len(self._waiting) > _WAITING:
                self._waiting.popitem(last=False)[1].cancel()

    def take(self, asked: Asked) -> bytes:
        """A block that was made ahead, waiting for it if it is being made, else made now. Raises RunError."""
        key = _key(asked)
        with self._lock:
            found = self._waiting.pop(key, None)
            self._taken.append(key)
        if found is None or found.cancel():  # not begun: no sooner there than made here
            return _block(*asked)
        return found.result()


def _key(asked: Asked) -> tuple[object, ...]:
    return (str(asked[0].folder), asked[0].checksum, *asked[1:])


@st.cache_resource(show_spinner=False)
def _ahead() -> _Ahead:
    return _Ahead()


@st.cache_resource(max_entries=_KEPT, show_spinner=False, hash_funcs=KEY)
def viewer_block(run: Run, split: Split, heads: tuple[Head, ...], seed: int, image: str) -> bytes:
    """All that the viewer shows of one image and two heads, or the only one.

    Header: width and height of what is sent, step (every how manieth pixel it is), full (width and height of the
    image). Parts: the image as JPEG, truth, codes of each head, and on exclusive truth the class of the largest
    log-odds of each head; see `payload`. Raises RunError when there is no such image.
    """
    return _ahead().take((run, split, heads, seed, image, dataset(run)["kind"] == "exclusive"))


def make_ahead(run: Run, split: Split, heads: tuple[Head, ...], seed: int, image: str) -> None:
    """Make a block that will soon be asked for, in the background."""
    _ahead().ask((run, split, heads, seed, image, dataset(run)["kind"] == "exclusive"))


def _block(run: Run, split: Split, heads: tuple[Head, ...], seed: int, image: str, exclusive: bool) -> bytes:
    def packed(head: Head) -> tuple[Prediction, int, list[bytes]]:
        one = read_prediction(run, split, head, seed, image)
        step = payload.step_of(*one.log_odds.shape)
        log_odds = one.log_odds[:, ::step, ::step]
        return one, step, [payload.codes_part(log_odds), *([payload.largest_part(log_odds)] if exclusive else [])]

    # The heads at once: reading and deflating leave the interpreter free.
    with ThreadPoolExecutor(len(heads)) as pool:
        found = list(pool.map(packed, heads))
    one, step, _ = found[0]
    truth, valid = one.truth[:, ::step, ::step], one.valid[::step, ::step]
    height, width = valid.shape
    header = {"width": width, "height": height, "step": step, "full": [one.valid.shape[1], one.valid.shape[0]]}
    by_kind = zip(*(parts for _, _, parts in found), strict=True)  # first the codes of each head
    parts = [run.preview(split, image), payload.truth_part(truth, valid)]
    return payload.pack(header, parts + [part for kind in by_kind for part in kind])
