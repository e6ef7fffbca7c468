"""What a data set's files hold, looked up in a process of its own and kept for the session."""

from pathlib import Path
from typing import Final, TypeAlias

from dashboard.dataset.kept import kept
from pipelines.datasets.look import Asked, Looked, LookedSource, look_apart
from pipelines.errors import PipelineError
from pipelines.uploads import in_use

_MOST: Final = 6
Found: TypeAlias = tuple[Looked, LookedSource | None]


def look(asked: Asked, *, fresh: bool = False) -> Found:
    """As `look_apart`. fresh: read the files again even if nothing that was asked has changed."""
    return kept("data_looks", asked.model_dump_json(), [asked.path], lambda: _look(asked), most=_MOST, fresh=fresh)


def _look(asked: Asked) -> Found:
    try:
        with in_use(Path(asked.path)):
            return look_apart(asked)
    except PipelineError as error:
        return Looked(problem=str(error)), None
