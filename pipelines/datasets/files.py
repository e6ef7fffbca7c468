"""Files of others to bytes and text: within limits, and what is wrong with one in a line that names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import DatasetError
from pipelines.sentences import path_tail, printable


@contextmanager
def readable(path: Path, parts: int = 2) -> Iterator[None]:
    """What the operating system says against reading a file becomes a DatasetError that names it.

    parts: of its path that are named.
    """
    try:
        yield
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); check that it exists"
        raise DatasetError(f"{path_tail(path, parts)} {problem}") from None


@contextmanager
def damage_named(
    path: Path, problem: str, errors: tuple[type[Exception], ...] = (Exception,), *, parts: int = 2
) -> Iterator[None]:
    """What a decoder raises for a damaged file becomes a DatasetError that names it.

    problem: after the file's name, with {} for what was raised. errors: the types that are meant. parts: of the path
    that are named.
    """
    try:
        yield
    except DatasetError:
        raise
    except errors as error:
        reason = printable(" ".join(str(error).split()))[:200] or type(error).__name__
        raise DatasetError(f"{path_tail(path, parts)} {problem.format(reason)}") from None


def read_limited(path: Path, most: int, advice: str, parts: int = 2) -> bytes:
    """The bytes of a file. Raises DatasetError, with an advice, for one of more than `most` bytes."""
    with readable(path, parts):
        if path.stat().st_size > most:
            raise DatasetError(f"{path_tail(path, parts)} is larger than {most:,} bytes; {advice}")
        return path.read_bytes()


def decode_text(content: bytes, path: Path) -> str:
    """Text of a file in UTF-8. Raises DatasetError."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{path_tail(path)} is not UTF-8 text; save it as UTF-8") from None
