"""Image files to arrays, safely: pictures as RGB in [0, 1], masks as the raw values they hold."""

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pipelines.arrays import Float32Array, UInt8Array
from pipelines.errors import DatasetError

FORMATS: Final = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
MASK_SUFFIXES: Final = (".png", ".tif", ".tiff", ".bmp")  # JPEG and WebP change values
MAX_PIXELS: Final = 2**26  # 64 megapixels: 768 MB as float32 RGB
MAX_BYTES: Final = 2**30

_ORIENTATION: Final = 0x0112  # EXIF tag
_SIXTEEN_BIT: Final = ("I;16", "I;16B", "I;16L", "I;16N")
# Damage surfaces as half a dozen types, depending on the format and the byte.
_DAMAGE: Final = (OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, EOFError, struct.error, zlib.error)
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Pillow stretches grey PNGs of 2 and 4 bits to 0…255; dividing by these gives the stored values back.
_GREY_STRETCH: Final = {2: 85, 4: 17}


def read_picture(
    path: Path, *, size: tuple[int, int] | None = None, content: bytes | None = None
) -> tuple[Float32Array, tuple[int, int], bool]:
    """A picture as RGB, upright by its EXIF orientation.

    size: (height, width) to resize to, bilinear with antialiasing; None keeps its own.
    content: the picture's bytes where they are no file of their own; the path then only names them.
    Returns the image, (H, W, 3) float32 in [0, 1]; its own (height, width) before resizing; and whether EXIF
    turned it by 90°. Grey is repeated to three channels, alpha is dropped, 16-bit values are divided by 65535.
    Raises DatasetError when the file is not a whole picture of a known format.
    """
    picture, orientation = _open(path, content, upright=True)
    turned = orientation in (5, 6, 7, 8)
    own = (picture.height, picture.width)
    if picture.mode in _SIXTEEN_BIT:
        return _sixteen_bit(picture, size), own, turned
    if picture.mode in ("I", "F"):
        raise DatasetError(
            f"{_short(path)} holds 32-bit values (mode {picture.mode}), whose range is not known; save it with 16 bits"
        )
    picture = picture.convert("RGB") if picture.mode != "RGB" else picture
    if size is not None and size != own:
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.multiply(np.asarray(picture), np.float32(1 / 255), dtype=np.float32), own, turned


def read_mask(path: Path, *, content: bytes | None = None) -> NDArray[Any]:
    """The raw values of a one-channel mask, (H, W) uint8, uint16 or int32.

    content: the mask's bytes where they are no file of their own; the path then only names them.
    Palette indices and 16-bit values come as stored, never converted through their colour.
    Raises DatasetError for a colour image or a damaged file.
    """
    picture, _ = _open(path, content, upright=False)
    if picture.mode == "1":
        # As an array this is bool over bytes of 0 and 255, which only some operations take for True.
        return (np.asarray(picture.convert("L")) > 0).astype(np.uint8)
    if picture.mode == "L":
        values = np.asarray(picture)
        stretch = _GREY_STRETCH.get(_png_depth(path, content)) if picture.format == "PNG" else None
        return values // np.uint8(stretch) if stretch else values
    if picture.mode == "P":
        return np.asarray(picture)
    if picture.mode in _SIXTEEN_BIT:
        return np.asarray(picture).astype(np.uint16)
    if picture.mode == "I":
        return np.asarray(picture)
    raise DatasetError(
        f"{_short(path)} is a colour image (mode {picture.mode}), but a mask has one channel whose value is the class; "
        "save the class indices as a grey or palette PNG"
    )


def read_colors(path: Path, *, content: bytes | None = None) -> UInt8Array:
    """The colours of a mask as stored, (H, W, 3) uint8; pixels that are wholly transparent come as black.

    content: the mask's bytes where they are no file of their own; the path then only names them.
    Raises DatasetError for values of more than 8 bits and for a damaged file.
    """
    picture, _ = _open(path, content, upright=False)
    if picture.mode in (*_SIXTEEN_BIT, "I", "F"):
        raise DatasetError(f"{_short(path)} has no colours of 8 bits (mode {picture.mode}); save it as an RGB PNG")
    colors = np.array(picture.convert("RGB"))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        colors[np.asarray(picture.convert("RGBA"))[:, :, 3] == 0] = 0
    return colors


def resize_mask(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Nearest-neighbour resize of the last two axes, (..., H, W) to (..., height, width)."""
    height, width = values.shape[-2:]
    if (height, width) == size:
        return values
    # Integer arithmetic for floor((i + 0.5) * old / new): exact on every machine.
    rows = (2 * np.arange(size[0]) + 1) * height // (2 * size[0])
    columns = (2 * np.arange(size[1]) + 1) * width // (2 * size[1])
    return values[..., rows[:, None], columns]


def _open(path: Path, content: bytes | None = None, *, upright: bool) -> tuple[Image.Image, int]:
    """Decode the whole file, or say in one line why not; also its EXIF orientation (1: as stored)."""
    try:
        if content is None:
            if path.stat().st_size > MAX_BYTES:
                raise DatasetError(
                    f"{_short(path)} has {path.stat().st_size:,} bytes, allowed are {MAX_BYTES:,}; cut it"
                )
            content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{_short(path)} cannot be read ({error.strerror}); check that it exists") from None
    try:
        with warnings.catch_warnings():
            # Damage that matters raises below; odd metadata alone is no reason to refuse or to chatter.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _decode(path, content, upright=upright)
    except UnidentifiedImageError:
        raise DatasetError(f"{_short(path)} is not a readable {', '.join(FORMATS)} file; save it again") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DatasetError(f"{_short(path)} has more than {MAX_PIXELS:,} pixels; cut it into tiles") from None
    except _DAMAGE as error:
        raise DatasetError(f"{_short(path)} is damaged or truncated ({error}); copy or save it again") from None


def _decode(path: Path, content: bytes, *, upright: bool) -> tuple[Image.Image, int]:
    picture: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    _check_header(path, picture)
    _check_whole(path, content, picture.format)
    picture.load()
    orientation = picture.getexif().get(_ORIENTATION, 1) if upright else 1
    return (ImageOps.exif_transpose(picture) if orientation != 1 else picture), orientation


def _check_header(path: Path, picture: Image.Image) -> None:
    if picture.width * picture.height > MAX_PIXELS:
        raise DatasetError(
            f"{_short(path)} is {picture.width}×{picture.height}, more than {MAX_PIXELS:,} pixels; cut it into tiles"
        )
    frames = getattr(picture, "n_frames", 1)
    if frames != 1:
        raise DatasetError(f"{_short(path)} holds {frames} images, but one file is one image; save them one by one")


def _check_whole(path: Path, content: bytes, form: str | None) -> None:
    """Refuse damage that Pillow loads silently: a PNG without its end, a changed chunk, a JPEG cut in a scan."""
    if form == "PNG":
        at = len(_PNG_SIGNATURE)
        while True:
            length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
            end = at + 12 + length
            if end > len(content):
                raise DatasetError(f"{_short(path)} is truncated (no IEND chunk at its end); copy or save it again")
            if zlib.crc32(content[at + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
                raise DatasetError(f"{_short(path)} is damaged (wrong checksum at byte {at}); copy or save it again")
            if kind == b"IEND":
                return
            at = end
    if form == "JPEG" and content.rfind(b"\xff\xd9") < content.find(b"\xff\xda"):
        raise DatasetError(f"{_short(path)} is truncated (no end marker); copy or save it again")


def _png_depth(path: Path, content: bytes | None) -> int:
    if content is not None:
        return content[24]
    with path.open("rb") as file:
        return file.read(25)[24]  # signature 8, length 4, IHDR 4, width 4, height 4, bit depth


def _sixteen_bit(picture: Image.Image, size: tuple[int, int] | None) -> Float32Array:
    grey = np.asarray(picture).astype(np.float32) * np.float32(1 / 65535)
    if size is not None and size != grey.shape:
        smaller = Image.fromarray(grey).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        grey = np.asarray(smaller)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _short(path: Path) -> str:
    """The file's name with up to two folders: enough to find it, no more of the machine than needed."""
    text = "/".join(path.parts[-3:])
    return text if text.isprintable() else repr(text)[1:-1]
