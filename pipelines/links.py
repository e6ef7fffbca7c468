"""Symbolic links in folders that are read: followed on the command line, in the app only inside its allowed folders."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final

ROOTS: Final = "PIPELINES_LINK_ROOTS"  # environment: folders that links may lead into; unset: anywhere


def keep_inside(roots: Iterable[Path]) -> None:
    """From now on, follow links in this process and those it starts only where folder and target lie in these roots."""
    os.environ[ROOTS] = os.pathsep.join(map(str, roots))


class Links:
    """Which links are followed while one folder is read. passed_over: those that are not, in the order they were met.

    What is hidden below an allowed folder (uploads, the trash) is outside of it.
    """

    def __init__(self, root: Path) -> None:
        given = os.environ.get(ROOTS)
        self._allowed = None if given is None else [Path(one) for one in given.split(os.pathsep) if one]
        if not self._allows(Path(os.path.realpath(root))):
            self._allowed = []
        self.passed_over: dict[Path, None] = {}

    def follows(self, path: Path, *, below: Path | None = None) -> bool:
        """Whether a path may be read: no link is on the way, or it leads to what is there and allowed.

        below: a real folder that is read as a whole; links to itself, to what holds it or to its files of the same
        name would bring files twice, or for ever, and are not followed.
        """
        real = Path(os.path.realpath(path))
        if real == path and not path.is_symlink():  # a link to itself leads to itself
            return True
        again = below is not None and (
            below.is_relative_to(real) or (real.is_relative_to(below) and (real.is_dir() or real.name == path.name))
        )
        if again or not os.path.exists(real) or not self._allows(real):
            self.passed_over[path] = None
            return False
        return True

    def _allows(self, real: Path) -> bool:
        if self._allowed is None:
            return True
        inside = [real.relative_to(root) for root in self._allowed if real.is_relative_to(root)]
        return any(not any(part.startswith(".") for part in below.parts) for below in inside)


_current: ContextVar[Links | None] = ContextVar("links", default=None)


@contextmanager
def reading(root: Path) -> Iterator[Links]:
    """Collect the links that are passed over while the block reads a folder."""
    found = Links(root)
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


def of(root: Path) -> Links:
    """The links of the folder that is being read, else of this one."""
    return _current.get() or Links(root)
