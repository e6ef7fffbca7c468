"""Names of runs that jobs make: given on the command line, or free among runs, attempts and other jobs."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from pipelines.store import staged_attempts
from pipelines.uploads.workspace import upload_folder

ROOT: Final = Path(__file__).resolve().parents[2]


def option(arguments: Sequence[str], name: str) -> str | None:
    """Value of an option such as "--name" on a command line, as "--name x" or "--name=x"; None when it is not there."""
    for at, part in enumerate(arguments):
        if part == name and at + 1 < len(arguments):
            return arguments[at + 1]
        if part.startswith(f"{name}="):
            return part.partition("=")[2]
    return None


def without(arguments: Sequence[str], name: str) -> list[str]:
    """A command line without an option and its value."""
    kept: list[str] = []
    skip = False
    for part in arguments:
        if not skip and part != name and not part.startswith(f"{name}="):
            kept.append(part)
        skip = part == name and not skip
    return kept


def upload_folders(arguments: Sequence[str], folder: Path) -> list[Path]:
    """Folders of the uploads that a command line reads. folder: where its relative paths start."""
    values = [part.partition("=")[2] if part.startswith("--") else part for part in arguments]
    found = [upload_folder(folder / Path(value).expanduser()) for value in values if os.sep in value]
    return list(dict.fromkeys(one for one in found if one is not None))


def stem_of(text: str) -> str:
    """Any text, such as a data set's folder, as the beginning of a run's name, short enough for a number behind it."""
    return (re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_") or "run")[:56]


def free_name(runs: Path, stem: str, *, taken: Iterable[str] = ()) -> str:
    """A run's name made of letters that names may have and a number: one that no run, attempt or job has.

    taken: names that jobs are about to use.
    """
    base = stem_of(stem)
    spoken_for = set(taken)
    number = 1
    while (
        f"{base}-{number}" in spoken_for
        or (runs / f"{base}-{number}").exists()
        or staged_attempts(runs, f"{base}-{number}")
    ):
        number += 1
    return f"{base}-{number}"
