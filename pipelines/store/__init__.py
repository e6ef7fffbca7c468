"""The only reader and writer of runs."""

from typing import Any

__all__ = ["PredictionsFile", "PredictionsWarning"]


def __getattr__(name: str) -> Any:
    """What other people's code writes predictions with, imported when it is used: listing runs needs no numpy."""
    if name in __all__:
        from pipelines.store import outside

        return getattr(outside, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
