"""Image files to arrays, safely: pictures as RGB in [0, 1], masks as the raw values they hold.

Whatever is read is upright: turned as the EXIF orientation of its own file says.
"""

import io
import mmap
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from pipelines.arrays import Float32Array, UInt8Array
from pipelines.datasets.files import check_kind, damage_named, read_limited, readable
from pipelines.errors import DatasetError
from pipelines.sentences import path_tail

FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")
MASK_SUFFIXES: Final = (".png", ".tif", ".tiff", ".bmp")  # JPEG and WebP change values
MAX_PIXELS: Final = 2**26  # 64 megapixels: 768 MB as float32 RGB
MAX_BYTES: Final = 2**30

_ORIENTATION: Final = 0x0112  # EXIF tag, and TIFF's
_SIXTEEN_BIT: Final = ("I;16", "I;16B", "I;16L", "I;16N")
_ONE_CHANNEL: Final = ("1", "L", "P", "I", "F", *_SIXTEEN_BIT)
# Damage surfaces as half a dozen types, depending on the format and the byte.
_DAMAGE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Pillow stretches grey PNGs of 2 and 4 bits to 0…255; dividing by these gives the stored values back.
_GREY_STRETCH: Final = {2: 85, 4: 17}


def read_picture(
    path: Path, *, size: tuple[int, int] | None = None, content: bytes | None = None
) -> tuple[Float32Array, tuple[int, int], int]:
    """A picture as RGB, upright by its EXIF orientation.

    size: (height, width) to resize to, bilinear with antialiasing; None keeps its own.
    content: the picture's bytes where they are no file of their own; the path then only names them.
    Returns the image, (H, W, 3) float32 in [0, 1]; its own (height, width), upright, before resizing; and the EXIF
    orientation that it was turned by, 1 to 8. Grey is repeated to three channels, alpha is dropped, 16-bit values are
    divided by 65535. Raises DatasetError when the file is not a whole picture of a known format.
    """
    decoded = _open(path, content)
    picture, deep = decoded.picture, decoded.deep
    if deep is None and picture.mode in _SIXTEEN_BIT:
        deep = np.asarray(picture).astype(np.uint16)[:, :, None]
    if deep is not None:
        own = (deep.shape[0], deep.shape[1])
        colors = deep[:, :, : 3 if deep.shape[2] > 2 else 1]  # alpha is the last of two or four
        image = resize(colors.astype(np.float32) * np.float32(1 / 65535), size)
        return (image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)), own, decoded.orientation
    own = (picture.height, picture.width)
    if picture.mode in ("I", "F"):
        raise DatasetError(
            f"{path_tail(path, 3)} holds 32-bit values (mode {picture.mode}), whose range is not known; save it with "
            "16 bits"
        )
    picture = picture.convert("RGB") if picture.mode != "RGB" else picture
    if size is not None and size != own:
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.multiply(np.asarray(picture), np.float32(1 / 255), dtype=np.float32), own, decoded.orientation


def read_head(path: Path, *, content: bytes | None = None) -> tuple[tuple[int, int], int]:
    """A picture's (height, width), upright, and its EXIF orientation, 1 to 8, without decoding its pixels.

    content: the picture's bytes where they are no file of their own. Raises DatasetError for a damaged file.
    """
    with readable(path, parts=3):
        stream: BinaryIO = path.open("rb") if content is None else io.BytesIO(content)
    with stream, _explained(path):
        check_kind(path, stream.read(64), parts=3)
        with Image.open(stream, formats=FORMATS) as picture:
            own = (picture.height, picture.width)
            if picture.format == "PNG" and not _may_turn(stream, content):
                return own, 1
            orientation = _orientation(picture)
    swapped = orientation > 4 and picture.format != "TIFF"  # Pillow gives the size of a TIFF upright
    return (own[::-1] if swapped else own), orientation


def _may_turn(stream: BinaryIO, content: bytes | None) -> bool:
    """Whether a PNG holds a word of EXIF or XMP; Pillow would decode all of it to look for them at its end."""
    words = (b"eXIf", b"exif", b"Orientation")
    if content is not None:
        return any(word in content for word in words)
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as held:
        return any(held.find(word) >= 0 for word in words)


def read_mask(path: Path, *, content: bytes | None = None) -> NDArray[Any]:
    """The raw values of a one-channel mask, (H, W) uint8, uint16 or int32.

    content: the mask's bytes where they are no file of their own; the path then only names them.
    Palette indices and 16-bit values come as stored, never converted through their colour.
    Raises DatasetError for a colour image or a damaged file.
    """
    decoded = _open(path, content)
    picture = decoded.picture
    if picture.mode == "1":
        # As an array this is bool over bytes of 0 and 255, which only some operations take for True.
        return (np.asarray(picture.convert("L")) > 0).astype(np.uint8)
    if picture.mode == "L":
        values = np.asarray(picture)
        stretch = _GREY_STRETCH.get(_png_depth(path, content)) if decoded.form == "PNG" else None
        return values // np.uint8(stretch) if stretch else values
    if picture.mode == "P":
        return np.asarray(picture)
    if picture.mode in _SIXTEEN_BIT:
        return np.asarray(picture).astype(np.uint16)
    if picture.mode == "I":
        return np.asarray(picture)
    raise DatasetError(
        f"{path_tail(path, 3)} is a colour image (mode {picture.mode}), but a mask has one channel whose value is the "
        "class; save the class indices as a grey or palette PNG"
    )


def read_colors(path: Path, *, content: bytes | None = None) -> UInt8Array:
    """The colours of a mask as stored, (H, W, 3) uint8; pixels that are wholly transparent come as black.

    content: the mask's bytes where they are no file of their own; the path then only names them.
    Colours of 16 bits are taken where 8 hold them: all values at most 255, or all multiples of 257 (8 bits made 16).
    Raises DatasetError for other values of more than 8 bits and for a damaged file.
    """
    colors = _colors(path, _open(path, content))
    if colors.dtype == np.uint8:
        return colors
    if colors.max(initial=0) > 255:
        if (colors % 257).any():
            raise DatasetError(
                f"{path_tail(path, 3)} has colours of 16 bits that 8 bits cannot hold; save it as an 8-bit RGB PNG, or "
                "its class indices as a grey one"
            )
        colors = colors // np.uint16(257)
    return colors.astype(np.uint8)


def read_grey(path: Path, *, content: bytes | None = None) -> NDArray[Any] | None:
    """The values of a mask saved in colour whose channels are all equal, (H, W) uint8 or uint16; None for others.

    content: the mask's bytes where they are no file of their own. Raises DatasetError as `read_colors` does, but not
    for values of 16 bits, which come as stored.
    """
    colors = _colors(path, _open(path, content))
    equal = (colors[:, :, 0] == colors[:, :, 1]).all() and (colors[:, :, 0] == colors[:, :, 2]).all()
    return colors[:, :, 0] if equal else None


def read_alpha(path: Path) -> UInt8Array:
    """How opaque the pixels of an image are, (H, W) uint8: 0 where wholly transparent. Raises DatasetError."""
    picture = _open(path).picture
    return np.asarray(picture.convert("RGBA"))[:, :, 3]


def turn(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An array (..., H, W) as stored turned upright by an EXIF orientation, 1 to 8; 5 to 8 swap height and width.

    >>> turn(np.array([[1, 2], [3, 4]]), 6)  # shown after a quarter turn clockwise
    array([[3, 1],
           [4, 2]])
    """
    if orientation > 4:
        values = values.swapaxes(-1, -2)
    if orientation in (2, 3, 6, 7):
        values = values[..., ::-1]
    return values[..., ::-1, :] if orientation in (3, 4, 7, 8) else values


def resize_mask(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Nearest-neighbour resize of the last two axes, (..., H, W) to (..., height, width)."""
    height, width = values.shape[-2:]
    if (height, width) == size:
        return values
    # Integer arithmetic for floor((i + 0.5) * old / new): exact on every machine.
    rows = (2 * np.arange(size[0]) + 1) * height // (2 * size[0])
    columns = (2 * np.arange(size[1]) + 1) * width // (2 * size[1])
    return values[..., rows[:, None], columns]


def resize(values: Float32Array, size: tuple[int, int] | None) -> Float32Array:
    """Bands, (H, W, B) float32 in [0, 1], each resized by itself, bilinear with antialiasing, to (height, width).

    size: None keeps their own.
    """
    if size is None or size == values.shape[:2]:
        return values
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, 2, 0)]
    planes = [plane.resize((size[1], size[0]), Image.Resampling.BILINEAR) for plane in planes]
    return np.clip(np.stack([np.asarray(plane) for plane in planes], axis=2), 0, 1)


def fitted(own: Sequence[int], side: int) -> tuple[int, int]:
    """The (height, width) of a picture made small enough for its longer side."""
    factor = min(1.0, side / max(own))
    return max(1, round(own[0] * factor)), max(1, round(own[1] * factor))


def distinct_values(values: NDArray[Any]) -> list[int]:
    """The different values of an integer array, ascending."""
    if values.dtype == np.uint8:  # counting is ten times faster than sorting
        return [int(value) for value in np.flatnonzero(np.bincount(values.ravel(), minlength=1))]
    return [int(value) for value in np.unique(values)]


@dataclass(frozen=True)
class _Decoded:
    """A file's pixels, upright. deep: (H, W, C) uint16 where Pillow's picture has cut them to 8 bits a channel."""

    picture: Image.Image
    form: str | None
    orientation: int
    deep: NDArray[np.uint16] | None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Whatever a damaged file raises inside becomes a DatasetError that names it."""
    where = path_tail(path, 3)
    with damage_named(path, "is damaged or truncated ({}); copy or save it again", _DAMAGE, parts=3):
        try:
            with warnings.catch_warnings():
                # Damage that matters raises below; odd metadata alone is no reason to refuse or to chatter.
                warnings.simplefilter("ignore", UserWarning)
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                yield
        except UnidentifiedImageError:
            raise DatasetError(f"{where} is not a readable {', '.join(FORMATS)} file; save it again") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise DatasetError(f"{where} has more than {MAX_PIXELS:,} pixels; cut it into tiles") from None


def _open(path: Path, content: bytes | None = None) -> _Decoded:
    """Decode the whole file, or say in one line why not."""
    content = read_limited(path, MAX_BYTES, "cut it into tiles", parts=3) if content is None else content
    check_kind(path, content[:64], parts=3)
    with _explained(path):
        picture: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
        form = picture.format
        _check_header(path, picture)
        _check_whole(path, content, form)
        orientation = _orientation(picture) if form == "TIFF" else 1  # loading turns a TIFF and drops its tag
        picture.load()
        deep = _deep(path, picture, content)
        if form != "TIFF":
            orientation = _orientation(picture)
            picture = ImageOps.exif_transpose(picture) if orientation != 1 else picture
        if deep is not None:
            deep = np.moveaxis(turn(np.moveaxis(deep, 2, 0), orientation), 0, 2)
        return _Decoded(picture, form, orientation, deep)


def _orientation(picture: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1, as stored, for anything else."""
    tag = picture.getexif().get(_ORIENTATION, 1)
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1


def _deep(path: Path, picture: Image.Image, content: bytes) -> NDArray[np.uint16] | None:
    """Channels of 16 bits as stored, (H, W, C), which Pillow would cut to 8; None for everything else."""
    # The decoders are slow to import, and most files hold 8 bits.
    if picture.format == "PNG" and content[24] == 16 and content[25] != 0:  # bit depth; colour type, 0 is grey
        import imagecodecs

        values = imagecodecs.png_decode(content)
    elif picture.format == "TIFF" and picture.mode not in _ONE_CHANNEL and max(_tiff_bits(picture)) > 8:
        values = _tiff_values(path, content)
    else:
        return None
    if values.dtype != np.uint16 or values.ndim != 3 or not 2 <= values.shape[2] <= 4 or picture.mode == "CMYK":
        raise DatasetError(
            f"{path_tail(path, 3)} has {values.dtype} values of the shape {values.shape}, expected 8 or 16 bits and up "
            "to 4 channels; save it as an RGB PNG"
        )
    return np.asarray(values)


def _tiff_values(path: Path, content: bytes) -> NDArray[Any]:
    """The array of a TIFF file of one page, channels last, that Pillow could decode."""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(content), _multifile=False) as tif:
            page: Any = tif.pages[0]
            if page.is_tiled and int(np.prod(page.chunks)) * 2 > MAX_BYTES:
                raise DatasetError(
                    f"{path_tail(path, 3)} has tiles of more than {MAX_BYTES:,} bytes; save smaller ones"
                )
            values: NDArray[Any] = page.asarray()
            return np.moveaxis(values, 0, 2) if page.planarconfig == 2 and values.ndim == 3 else values
    except tifffile.TiffFileError as error:
        raise DatasetError(f"{path_tail(path, 3)} is damaged or truncated ({error}); copy or save it again") from None


def _tiff_bits(picture: Image.Image) -> tuple[int, ...]:
    bits = picture.tag_v2.get(258, (1,)) if isinstance(picture, TiffImageFile) else (1,)
    return tuple(bits) if isinstance(bits, tuple) else (int(bits),)


def _colors(path: Path, decoded: _Decoded) -> NDArray[Any]:
    """Red, green and blue, (H, W, 3) uint8, or uint16 as stored; black where they are wholly transparent."""
    picture, deep = decoded.picture, decoded.deep
    if deep is not None:
        colors = deep[:, :, :3] if deep.shape[2] > 2 else np.repeat(deep[:, :, :1], 3, axis=2)
        return colors if deep.shape[2] == 3 else np.where(deep[:, :, -1:] == 0, np.uint16(0), colors)
    if picture.mode in (*_SIXTEEN_BIT, "I", "F"):
        raise DatasetError(
            f"{path_tail(path, 3)} has no colours of 8 bits (mode {picture.mode}); save it as an RGB PNG"
        )
    colors = np.array(picture.convert("RGB"))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        colors[np.asarray(picture.convert("RGBA"))[:, :, 3] == 0] = 0
    return colors


def _check_header(path: Path, picture: Image.Image) -> None:
    if picture.width * picture.height > MAX_PIXELS:
        raise DatasetError(
            f"{path_tail(path, 3)} is {picture.width}×{picture.height}, more than {MAX_PIXELS:,} pixels; cut it "
            "into tiles"
        )
    if picture.format == "GIF" and getattr(picture, "is_animated", False):  # counting its frames may take minutes
        raise DatasetError(
            f"{path_tail(path, 3)} is an animation, but one file is one image; save its images one by one"
        )
    frames = getattr(picture, "n_frames", 1)
    if frames != 1:
        raise DatasetError(
            f"{path_tail(path, 3)} holds {frames} images, but one file is one image; save them one by one"
        )


def _check_whole(path: Path, content: bytes, form: str | None) -> None:
    """Refuse damage that Pillow loads silently: a PNG without its end, a changed chunk, a JPEG cut in a scan."""
    if form == "PNG":
        at = len(_PNG_SIGNATURE)
        while True:
            length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
            end = at + 12 + length
            if end > len(content):
                raise DatasetError(
                    f"{path_tail(path, 3)} is truncated (no IEND chunk at its end); copy or save it again"
                )
            if zlib.crc32(content[at + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
                raise DatasetError(
                    f"{path_tail(path, 3)} is damaged (wrong checksum at byte {at}); copy or save it again"
                )
            if kind == b"IEND":
                return
            at = end
    if form == "JPEG" and content.rfind(b"\xff\xd9") < content.find(b"\xff\xda"):
        raise DatasetError(f"{path_tail(path, 3)} is truncated (no end marker); copy or save it again")


def _png_depth(path: Path, content: bytes | None) -> int:
    if content is not None:
        return content[24]
    with path.open("rb") as file:
        return file.read(25)[24]  # signature 8, length 4, IHDR 4, width 4, height 4, bit depth
