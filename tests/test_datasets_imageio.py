"""Image files come in as what they hold, or are refused in one line."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_dataset import picture, save
from PIL import Image

from pipelines.datasets.imageio import MAX_PIXELS, read_mask, read_picture, resize_mask
from pipelines.errors import DatasetError


def test_eight_bit_rgb_is_divided_by_255(tmp_path):
    values = picture(0)
    image, own, turned = read_picture(save(tmp_path / "a.png", values))
    assert image.dtype == np.float32
    assert (own, turned) == ((6, 8), False)
    np.testing.assert_allclose(image, values / 255, atol=1e-7)
    assert image.min() >= 0
    assert image.max() <= 1


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "bmp", "webp"])
def test_every_lossless_format_gives_the_same_picture(tmp_path, suffix):
    values = picture(1)
    path = save(tmp_path / f"a.{suffix}", values, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_allclose(read_picture(path)[0], values / 255, atol=1e-7)


def test_sixteen_bit_grey_is_divided_by_65535_and_keeps_its_steps(tmp_path):
    values = np.array([[0, 1, 257, 65535]], np.uint16)  # 257 = 65535 / 255
    image, _, _ = read_picture(save(tmp_path / "a.png", values))
    np.testing.assert_allclose(image[0, :, 1], [0, 1 / 65535, 1 / 255, 1], rtol=1e-6)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_every_colour_mode_becomes_three_channels(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(picture(2)).convert(mode).save(path)
    image, own, _ = read_picture(path)
    assert image.shape == (6, 8, 3)
    assert own == (6, 8)


def test_alpha_is_dropped_not_blended(tmp_path):
    values = np.dstack([np.full((2, 2, 3), 200, np.uint8), np.zeros((2, 2), np.uint8)])  # fully transparent
    np.testing.assert_allclose(read_picture(save(tmp_path / "a.png", values))[0], 200 / 255, atol=1e-7)


def test_exif_orientation_turns_the_picture_upright(tmp_path):
    values = picture(3, height=4, width=7)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    path = save(tmp_path / "a.png", values, exif=exif)
    image, own, turned = read_picture(path)
    assert (own, turned) == ((7, 4), True)
    np.testing.assert_allclose(image, np.rot90(values, -1) / 255, atol=1e-7)


def test_masks_are_never_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_mask(save(tmp_path / "m.png", np.zeros((4, 7), np.uint8), exif=exif)).shape == (4, 7)


def test_palette_masks_give_indices_not_colours(tmp_path):
    mask = Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8)).convert("P")
    mask.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    mask.save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == [[0, 1, 2, 3]]


def test_sixteen_bit_masks_keep_class_300(tmp_path):
    values = np.array([[0, 44, 300]], np.uint16)  # 300 in 8 bits would be 44
    assert read_mask(save(tmp_path / "m.png", values)).tolist() == [[0, 44, 300]]


def test_thirty_two_bit_masks_keep_their_values(tmp_path):
    assert read_mask(save(tmp_path / "m.tif", np.array([[0, 70000]], np.int32))).tolist() == [[0, 70000]]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_masks_of_few_bits_give_the_stored_values(tmp_path, depth):
    # Written by hand: Pillow does not write these, and stretches 2 and 4 bits to 0…255 when reading.
    values = [0, 1, 1, 0] if depth == 1 else [0, 1, 2, 3]
    bits = "".join(f"{value:0{depth}b}" for value in values).ljust(16, "0")
    row = b"\0" + bytes(int(bits[at : at + 8], 2) for at in range(0, -(-4 * depth // 8) * 8, 8))
    header = struct.pack(">IIBBBBB", 4, 1, depth, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(row)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    assert read_mask(tmp_path / "m.png").tolist() == [values]


def test_a_colour_mask_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(DatasetError, match=r"colour image.*save the class indices"):
        read_mask(save(tmp_path / "m.png", picture(0)))


@pytest.mark.parametrize("cut", [1, 4, 12, 20, 60, 200])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_truncated_file_never_loads(tmp_path, suffix, cut):
    # Pillow alone loads a PNG without its last 20 bytes.
    path = save(tmp_path / f"a.{suffix}", picture(4, 40, 40), **({"lossless": True} if suffix == "webp" else {}))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DatasetError, match=r"truncated|damaged|not a readable"):
        read_picture(path)


@pytest.fixture(scope="module")
def whole_png():
    file = io.BytesIO()
    Image.fromarray(picture(5, 20, 20)).save(file, "PNG")
    return file.getvalue()


@settings(max_examples=200, deadline=None)
@given(place=st.integers(8, 10**6), bit=st.integers(0, 7))
def test_no_flipped_bit_in_a_png_goes_unseen(tmp_path_factory, whole_png, place, bit):
    content = bytearray(whole_png)
    content[8 + place % (len(content) - 8)] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "flipped.png"
    path.write_bytes(content)
    with pytest.raises(DatasetError):
        read_picture(path)


@settings(max_examples=200, deadline=None)
@given(
    content=st.binary(max_size=300), head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"BM"])
)
def test_any_bytes_end_in_one_clear_line(tmp_path_factory, content, head):
    path = tmp_path_factory.getbasetemp() / "any.png"
    path.write_bytes(head + content)
    with pytest.raises(DatasetError) as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


def test_a_small_file_that_claims_too_many_pixels_is_refused(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    with pytest.raises(DatasetError, match=f"{MAX_PIXELS:,} pixels"):
        read_picture(tmp_path / "bomb.png")


def test_other_formats_are_refused_whatever_their_name_says(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "a.png")
    with pytest.raises(DatasetError, match="not a readable"):
        read_picture(tmp_path / "a.png")


def test_a_file_of_several_images_is_refused(tmp_path):
    pages = [Image.new("L", (4, 4), k) for k in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DatasetError, match="holds 3 images"):
        read_picture(tmp_path / "a.tif")


def test_float_pictures_are_refused_because_their_range_is_unknown(tmp_path):
    with pytest.raises(DatasetError, match="range is not known"):
        read_picture(save(tmp_path / "a.tif", np.ones((4, 4), np.float32)))


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        read_picture(tmp_path / "none.png")


def test_shrinking_averages_so_that_fine_stripes_become_grey(tmp_path):
    # Columns 0, 255, 0, 255, …: plain sampling would return 0 or 255 only.
    values = np.tile(np.array([0, 255], np.uint8), (64, 32))
    image, own, _ = read_picture(save(tmp_path / "a.png", values), size=(8, 8))
    assert own == (64, 64)
    np.testing.assert_allclose(image[2:-2, 2:-2], 0.5, atol=0.05)


def test_sixteen_bit_pictures_resize_too(tmp_path):
    values = np.full((8, 8), 32768, np.uint16)
    image, _, _ = read_picture(save(tmp_path / "a.png", values), size=(4, 6))
    assert image.shape == (4, 6, 3)
    np.testing.assert_allclose(image, 32768 / 65535, rtol=1e-5)


def test_masks_resize_to_the_nearest_value():
    values = np.array([[0, 1, 2, 3]])
    # Centres of two cells fall at 1.0 and 3.0 of 4: pixels 1 and 3.
    assert resize_mask(values, (1, 2)).tolist() == [[1, 3]]
    assert resize_mask(values, (2, 8)).tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]] * 2


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_resizing_a_mask_invents_no_value_and_keeps_order(old, new, other):
    out = resize_mask(np.arange(old)[None, :], (other, new))
    assert out.shape == (other, new)
    assert (np.diff(out, axis=1) >= 0).all()
    assert out.min() >= 0
    assert out.max() < old
