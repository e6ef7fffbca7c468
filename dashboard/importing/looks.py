"""What a data set's and outputs' files hold, looked up in a process of its own and kept for the session."""

from typing import Final

from dashboard.dataset.kept import kept
from pipelines.imports.trial import Asked, Looked, Preview, look_apart

_MOST: Final = 12


def look(asked: Asked, *, fresh: bool = False) -> tuple[Looked, Preview | None]:
    """As `apart.look_apart`. fresh: read the files again even if nothing that was asked has changed."""
    paths = [asked.dataset, *(one.path for one in asked.heads.values())]
    return kept("import_looks", asked.model_dump_json(), paths, lambda: look_apart(asked), most=_MOST, fresh=fresh)
