"""The server's own process."""

import gc
import threading
from typing import Final

MANY: Final = 10_000  # objects: from here on a full collection takes milliseconds
MOST: Final = 16  # times: what is frozen is never looked at again, so sessions that come and go must not add to it

_lock = threading.Lock()
_times = 0


def freeze_once() -> None:
    """Keep what is loaded by now out of the full garbage collection that Streamlit makes after every rerun.

    Called after each run of the whole app: the first call freezes all that was imported, later ones what pages have
    loaded since, if that is much. Each object is frozen once, and after MOST times no more are.
    """
    global _times
    with _lock:
        if _times >= MOST or (_times and len(gc.get_objects()) < MANY):
            return
        if _times:  # imports leave no garbage behind, sessions do
            gc.collect()
        gc.freeze()
        _times += 1
