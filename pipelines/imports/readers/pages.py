"""Headers of a parquet column's pages to the bytes they unpack to, which the file's own table need not tell truly.

Arrow makes room for what a page claims before it unpacks it. Headers are Thrift's compact protocol; see the Parquet
format, PageHeader: field 2 is the unpacked size, field 3 the packed one.
"""

from typing import IO, Final

_HEADER_BYTES: Final = 2**16  # a header with its statistics; Arrow itself gives up at 16 MB
_MOST_PAGES: Final = 100_000
_DEPTH: Final = 16  # structs within each other
_UNPACKED, _PACKED = 2, 3  # numbers of fields
_BOOL, _BYTE, _DOUBLE, _BINARY, _STRUCT = (1, 2), 3, 7, 8, 12  # types in compact protocol
_INTEGERS, _LISTS, _MAP = (4, 5, 6), (9, 10), 11


def unpacked_bytes(file: IO[bytes], start: int, length: int) -> int:
    """Bytes that the pages of a column chunk unpack to together. start, length: where the chunk lies in the file.

    Raises ValueError or IndexError for headers that make no sense.
    """
    end, total = start + length, 0
    for _ in range(_MOST_PAGES):
        if start >= end:
            return total
        file.seek(start)
        header = _Compact(file.read(min(_HEADER_BYTES, end - start)))
        fields = header.struct()
        unpacked, packed = fields[_UNPACKED], fields[_PACKED]
        if unpacked < 0 or packed < 0:
            raise ValueError(f"a page claims {unpacked:,} bytes, packed into {packed:,}")
        total += unpacked
        start += header.at + packed
    raise ValueError(f"a column has more than {_MOST_PAGES:,} pages")


class _Compact:
    """Bytes in compact protocol, read from the front; keeps integers of the outermost struct, steps over all else."""

    def __init__(self, content: bytes) -> None:
        self._content, self.at = content, 0

    def struct(self, depth: int = 0) -> dict[int, int]:
        """Integer fields by number."""
        if depth > _DEPTH:
            raise ValueError("a page's header is nested too deep")
        fields: dict[int, int] = {}
        number = 0
        while (head := self._byte()) != 0:
            step, kind = head >> 4, head & 15
            number = number + step if step else self._integer()
            if kind in _INTEGERS:
                fields[number] = self._integer()
            elif kind not in _BOOL:  # a bool is its type
                self._skip(kind, depth)
        return fields

    def _skip(self, kind: int, depth: int) -> None:
        if kind in _INTEGERS:
            self._integer()
        elif kind == _BYTE or kind in _BOOL:
            self._byte()
        elif kind == _DOUBLE:
            self._pass(8)
        elif kind == _BINARY:
            self._pass(self._unsigned())
        elif kind == _STRUCT:
            self.struct(depth + 1)
        elif kind in _LISTS:
            head = self._byte()
            count = head >> 4 if head >> 4 != 15 else self._unsigned()
            for _ in range(count):
                self._skip(head & 15, depth + 1)
        elif kind == _MAP:
            raise ValueError("a page's header holds a map, which none does")
        else:
            raise ValueError(f"a page's header holds the unknown type {kind}")

    def _pass(self, count: int) -> None:
        self.at += count
        if self.at > len(self._content):
            raise IndexError("a page's header is cut short")

    def _byte(self) -> int:
        if self.at >= len(self._content):
            raise IndexError("a page's header is cut short")
        self.at += 1
        return self._content[self.at - 1]

    def _unsigned(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number in a page's header is too long")

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)  # zigzag
