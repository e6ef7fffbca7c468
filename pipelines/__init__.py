"""From a data set to paired sigmoid and softmax networks, their predictions, counts and a verdict.

    from pipelines import compare, open_run

`open_run(folder)` opens a run, `compare(truth, sigmoid=…, softmax=…)` makes one of arrays (docs/notebooks.md).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.api import Run, compare, open_run

__all__ = ["Run", "compare", "open_run"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The public names are imported when they are used: a command loads what it needs and no more."""
    if name in __all__:
        from pipelines import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
