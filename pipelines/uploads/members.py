"""What a reader of archives says of one member, and what it is refused for before a byte of it is read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pipelines.errors import UploadError
from pipelines.uploads.names import refusal, shown

Kind: TypeAlias = Literal["file", "folder", "link", "device", "sparse", "encrypted", "method", "unknown"]

_ADVICE: Final[dict[Kind, tuple[str, str, str]]] = {
    "link": ("ARCHIVE-LINK", "is a link", "Put the file itself in its place (tar: -h), pack again and upload."),
    "device": ("ARCHIVE-DEVICE", "is a device, a pipe or a socket", "Pack plain files only, and upload again."),
    "sparse": ("ARCHIVE-SPARSE", "is a sparse file", "Pack it without --sparse, and upload again."),
    "encrypted": ("ARCHIVE-ENCRYPTED", "is encrypted", "Pack it without a password, and upload again."),
    "method": (
        "ARCHIVE-METHOD", "is not packed by deflate", "Make a usual zip or a .tar.gz, and upload again.",
    ),
    "unknown": ("ARCHIVE-KIND", "is neither a file nor a folder", "Pack plain files only, and upload again."),
}  # fmt: skip
# Files that are archives inside and data all the same; none of them is ever unpacked.
_DATA: Final = (
    ".npz",
    ".nii.gz",
    ".mgz",
    ".gii.gz",
    ".pt",
    ".pth",
    ".ckpt",
    ".docx",
    ".xlsx",
    ".pptx",
    ".odt",
    ".ods",
)
_NESTED: Final = (
    ".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".lzma", ".zst", ".tzst", ".lz4", ".z",
    ".7z", ".rar", ".cab", ".iso", ".jar", ".dmg", ".ar", ".cpio",
)  # fmt: skip
_MAGIC: Final = (
    b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd",
    b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07",
)  # fmt: skip
_USTAR: Final = slice(257, 262)


@dataclass(frozen=True)
class Member:
    """One entry of an archive.

    name: as it stands there, with / between its parts. size: its bytes, as announced. packed: its bytes in the
    archive, None where that cannot be told. chunks: its content, at most `sink.CHUNK` bytes at a time, to be taken
    before the next member is asked for.
    """

    name: str
    kind: Kind
    size: int
    packed: int | None
    chunks: Callable[[], Iterator[bytes]]

    def check_kind(self) -> None:
        """Raise UploadError unless it is a plain file or a folder."""
        if self.kind not in ("file", "folder"):
            code, fault, advice = _ADVICE[self.kind]
            raise refusal(code, f"{shown(self.name)} {fault}", advice)

    def check_nested(self) -> None:
        """Raise UploadError when its name says that it is an archive."""
        name = self.name.casefold()
        if name.endswith(_NESTED) and not name.endswith(_DATA):
            raise _nested(self.name)

    def content(self) -> Iterator[bytes]:
        """Its chunks; raises UploadError when the first of them shows an archive that the name does not tell of."""
        honest = self.name.casefold().endswith(_DATA)
        for at, chunk in enumerate(self.chunks()):
            if at == 0 and not honest and (chunk.startswith(_MAGIC) or chunk[_USTAR] == b"ustar"):
                raise _nested(self.name)
            yield chunk


def _nested(name: str) -> UploadError:
    found = f"{shown(name)} is an archive inside the archive"
    return refusal("ARCHIVE-NESTED", found, "Unpack it, put its files in its place, pack again and upload.")
