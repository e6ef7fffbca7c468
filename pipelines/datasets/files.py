"""Files of others to bytes and text: within limits, and what is wrong with one in a line that names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

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


_OTHER_KINDS: Final = {
    b"version https://git-lfs": "is a pointer of Git LFS instead of the file; fetch it with git lfs pull",
    b"<!doctype html": "is a web page, as failed downloads are; download it again",
    b"<html": "is a web page, as failed downloads are; download it again",
}


def check_kind(path: Path, start: bytes, parts: int = 2) -> None:
    """Raise DatasetError for a file that is empty, or that something else stands for. start: its first bytes."""
    problem = "is empty (0 bytes); copy or save it again" if not start else None
    beginning = start[:64].lstrip().lower()
    problem = problem or next((said for kind, said in _OTHER_KINDS.items() if beginning.startswith(kind)), None)
    if problem is not None:
        raise DatasetError(f"{path_tail(path, parts)} {problem}")


def decode_text(content: bytes, path: Path) -> str:
    """Text of a file in UTF-8. Raises DatasetError."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{path_tail(path)} is not UTF-8 text; save it as UTF-8") from None
