"""JSON of any size to the values that are asked for: read in windows, so that memory does not grow with the file."""

import json
import mmap
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.datasets.files import decode_text, read_limited, readable
from pipelines.errors import DatasetError
from pipelines.sentences import path_tail

MAX_BYTES: Final = 512 << 20
MAX_VALUE: Final = 16 << 20  # bytes of one value; parsed, it can take thirty times as much
MAX_TEXT: Final = 256 << 20  # bytes of a value that is one text, such as a picture in base64
HEAD: Final = 1 << 16

_WINDOW: Final = 1 << 20
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_TEXT: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


@dataclass(frozen=True)
class Member:
    """A member of the outermost object, or one element of it where the member is a list that was asked for.

    start, end: the value's bytes in the file. value: None for texts that were not asked for.
    """

    key: str
    value: Any
    start: int
    end: int


def read_object(path: Path) -> dict[str, Any]:
    """A small JSON file that holds an object. Raises DatasetError, one line."""
    value = read_value(path)
    if not isinstance(value, dict):
        raise DatasetError(f"{path_tail(path)} holds no object ({{…}}) but {_kind(value)}; write it again")
    return value


def read_value(path: Path) -> Any:
    """A small JSON file. Raises DatasetError, one line."""
    return parse(read_limited(path, MAX_VALUE, "leave out what is not needed"), path)


def parse(content: bytes, path: Path) -> Any:
    """Bytes of a JSON value; the path is named in errors. Raises DatasetError, one line."""
    try:
        return json.loads(decode_text(content, path))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path_tail(path)} is not valid JSON ({_reason(error)}); correct it") from None


def members(path: Path, *, lists: Collection[str], texts: Collection[str] = ()) -> Iterator[Member]:
    """Members of the outermost object, in the order of the file; lists that are named come element by element.

    texts: members whose value is kept even where it is one long text. Raises DatasetError, one line, for what is no
    JSON object, larger than MAX_BYTES, or holds a value larger than MAX_VALUE (a text: MAX_TEXT).
    """
    with _scan(path) as scan:
        yield from scan.members(frozenset(lists), frozenset(texts))


def elements(path: Path) -> Iterator[Member]:
    """Elements of the outermost list, one by one. Raises DatasetError, one line, as `members` does."""
    with _scan(path) as scan:
        yield from scan.elements()


@contextmanager
def _scan(path: Path) -> Iterator["_Scan"]:
    with readable(path):
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DatasetError(f"{path_tail(path)} has {size:,} bytes, allowed are {MAX_BYTES:,}; split it into parts")
        if size == 0:
            raise DatasetError(f"{path_tail(path)} is empty; copy it again")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield _Scan(path, content)


def pieces(path: Path, places: Iterable[tuple[int, int]]) -> Iterator[Any]:
    """Values of a JSON file by their places, (start, end), as `members` told them. Raises DatasetError, one line."""
    with readable(path), path.open("rb") as file:
        for start, end in places:
            file.seek(start)
            yield parse(file.read(end - start), path)


def ends(path: Path, first: bytes = b"{") -> bytes:
    """The first and the last HEAD bytes of a file that begins like an object, b"" for any other; never raises.

    first: b"[" for files that begin like a list.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(first):
                return b""
            size = file.seek(0, 2)
            file.seek(max(HEAD, size - HEAD))
            return head + file.read(HEAD)
    except OSError:
        return b""


class _Scan:
    """One pass over a file. Bytes stand for letters (Latin-1) until a value holds others than ASCII."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self._path = path
        self._content = content
        self._at = 3 if content[:3] == b"\xef\xbb\xbf" else 0
        self._decoder = json.JSONDecoder()
        self._window = ""
        self._base = 0

    def members(self, lists: frozenset[str], texts: frozenset[str]) -> Iterator[Member]:
        self._expect(b"{")
        seen: set[str] = set()
        if self._is(b"}"):
            return
        while True:
            key = self._value().value
            if not isinstance(key, str):
                raise self._broken("expected a name in quotes")
            if key in seen and key in lists | texts:
                raise DatasetError(f"{path_tail(self._path)} has {key!r} twice; keep one")
            seen.add(key)
            self._expect(b":")
            if key in lists and self._is(b"["):
                yield from self._elements(key)
            else:
                member = self._value(keep=key in texts)
                yield Member(key, member.value, member.start, member.end)
            if not self._is(b","):
                break
        self._expect(b"}")
        self._finish()

    def elements(self) -> Iterator[Member]:
        self._expect(b"[")
        yield from self._elements("")
        self._finish()

    def _finish(self) -> None:
        self._skip()
        if self._at != len(self._content):
            raise self._broken("there is more after the end")

    def _elements(self, key: str) -> Iterator[Member]:
        if self._is(b"]"):
            return
        while True:
            element = self._value()
            yield Member(key, element.value, element.start, element.end)
            if not self._is(b","):
                break
        self._expect(b"]")

    def _value(self, *, keep: bool = True) -> Member:
        self._skip()
        start = self._at
        if self._content[start : start + 1] == b'"':
            return self._text(start, keep=keep)
        size = _WINDOW
        while True:
            if not self._base <= start < self._base + len(self._window):
                self._base = start
                self._window = self._content[start : start + size].decode("latin-1")
            reached = self._base + len(self._window)
            problem = "it ends too early"
            try:
                value, stop = self._decoder.raw_decode(self._window, start - self._base)
                end = self._base + stop
                if end < reached or reached == len(self._content):
                    break
            except RecursionError:
                raise DatasetError(f"{path_tail(self._path)} is nested too deeply; it holds no data set") from None
            except ValueError as error:
                problem = _reason(error)
            if reached == len(self._content):
                raise self._broken(problem)
            if size >= MAX_VALUE:
                raise DatasetError(
                    f"{path_tail(self._path)} is not valid JSON after byte {start:,}, or holds a value of more than "
                    f"{MAX_VALUE:,} bytes there; correct it"
                )
            size = size * 4 if self._base == start else size
            self._window = ""
        self._at = end
        raw = self._content[start:end] if not self._window.isascii() else b""
        return Member("", parse(raw, self._path) if not raw.isascii() else value, start, end)

    def _text(self, start: int, *, keep: bool) -> Member:
        match = _TEXT.match(self._content, start)
        if match is None:
            raise self._broken("a text does not end")
        end = match.end()
        if end - start > MAX_TEXT:
            raise DatasetError(f"{path_tail(self._path)} holds a text of more than {MAX_TEXT:,} bytes; take it out")
        self._at = end
        small = end - start <= _WINDOW
        return Member("", parse(self._content[start:end], self._path) if keep or small else None, start, end)

    def _skip(self) -> None:
        match = _SPACE.match(self._content, self._at)
        self._at = match.end() if match else self._at

    def _is(self, sign: bytes) -> bool:
        self._skip()
        if self._content[self._at : self._at + 1] != sign:
            return False
        self._at += 1
        return True

    def _expect(self, sign: bytes) -> None:
        if not self._is(sign):
            raise self._broken(f"expected {sign.decode()}")

    def _broken(self, problem: str) -> DatasetError:
        return DatasetError(
            f"{path_tail(self._path)} is not valid JSON ({problem} at byte {self._at:,} of {len(self._content):,}); "
            "write or copy it again"
        )


def _reason(error: Exception) -> str:
    text = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return text if text.isprintable() else "unreadable"


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
