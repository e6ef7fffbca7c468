"""A look at strangers' outputs in a process of its own; whatever the files do to it, ours goes on.

python -m pipelines.imports.apart FOLDER MEMORY reads asked.json there, and writes looked.json and preview.npz.
"""

import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from pipelines.apart import MEMORY, SECONDS, bind, run_apart
from pipelines.errors import PipelineError
from pipelines.imports.trial import Asked, Looked, Preview, look
from pipelines.schema import HEADS
from pipelines.uploads import in_use


def look_apart(asked: Asked, *, seconds: float = SECONDS, memory: int = MEMORY) -> tuple[Looked, Preview | None]:
    """As `trial.look`, for files that nobody vouches for; a process that breaks a bound or dies is a problem too."""
    paths = (asked.dataset, *(one.path for one in asked.heads.values()))
    return answer_apart(__name__, asked, paths, seconds=seconds, memory=memory)


def answer_apart(
    module: str, asked: BaseModel, paths: Iterable[str], *, seconds: float, memory: int
) -> tuple[Looked, Preview | None]:
    """What a module finds in a process of its own, whose `main` reads asked.json and ends with `write_answer`.

    paths: of what it reads; uploads among them are not deleted meanwhile.
    """
    with ExitStack() as stack:
        try:
            for path in paths:
                stack.enter_context(in_use(Path(path)))
        except PipelineError as error:
            return Looked(problem=str(error)), None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="look-")))
        (folder / "asked.json").write_text(asked.model_dump_json(), encoding="utf-8")
        problem = run_apart(module, folder, what="the first images", seconds=seconds, memory=memory)
        if problem is not None:
            return Looked(problem=problem), None
        return read_answer(folder)


def read_answer(folder: Path) -> tuple[Looked, Preview | None]:
    """What the process found."""
    looked = Looked.model_validate_json((folder / "looked.json").read_bytes())
    if not (folder / "preview.npz").exists():
        return looked, None
    with np.load(folder / "preview.npz", allow_pickle=False) as arrays:
        decided = {head: arrays[head] for head in HEADS if head in arrays}
        return looked, Preview(arrays["image"], arrays["truth"], arrays["valid"], decided)


def write_answer(folder: Path, looked: Looked, preview: Preview | None) -> None:
    """Leave looked.json, and preview.npz if there is one, for `read_answer`."""
    if preview is not None:
        image, truth, valid, decided = preview
        arrays: dict[str, Any] = {"image": image, "truth": truth, "valid": valid}
        arrays |= {str(head): labels for head, labels in decided.items()}
        np.savez_compressed(folder / "preview.npz", **arrays)
    (folder / "looked.json").write_text(looked.model_dump_json(), encoding="utf-8")


def main(folder: Path, memory: int) -> None:
    """The process: bind itself, look, answer."""
    bind(memory)
    write_answer(folder, *look(Asked.model_validate_json((folder / "asked.json").read_bytes())))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
