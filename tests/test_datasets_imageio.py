"""Image files come in as what they hold, or are refused in one line."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from make_dataset import picture, save
from PIL import Image, ImageOps

from pipelines.datasets.imageio import (
    MAX_PIXELS,
    read_colors,
    read_grey,
    read_head,
    read_mask,
    read_picture,
    resize_mask,
    turn,
)
from pipelines.errors import DatasetError


def test_eight_bit_rgb_is_divided_by_255(tmp_path):
    values = picture(0)
    image, own, orientation = read_picture(save(tmp_path / "a.png", values))
    assert image.dtype == np.float32
    assert (own, orientation) == ((6, 8), 1)
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
    image, own, orientation = read_picture(path)
    assert (own, orientation) == ((7, 4), 6)
    np.testing.assert_allclose(image, np.rot90(values, -1) / 255, atol=1e-7)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_that_is_read_is_upright_by_its_own_orientation(tmp_path, suffix, orientation):
    stored = Image.fromarray(picture(3, height=4, width=7))
    stored.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(stored))
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}.get(suffix, {})
    path = save(tmp_path / f"a.{suffix}", np.asarray(stored), exif=stored.getexif(), **options)
    near = {"atol": 4 if suffix == "jpg" else 0}
    image, own, told = read_picture(path)
    np.testing.assert_allclose(np.rint(image * 255), upright, **near)
    assert (own, told) == (upright.shape[:2], orientation)
    assert read_head(path) == read_head(path, content=path.read_bytes()) == (own, orientation)
    np.testing.assert_allclose(read_colors(path).astype(int), upright, **near)
    np.testing.assert_array_equal(turn(np.moveaxis(np.asarray(stored), 2, 0), orientation), np.moveaxis(upright, 2, 0))


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_is_upright_by_its_own_orientation(tmp_path, suffix, dtype):
    values = np.arange(28).reshape(4, 7).astype(dtype)
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(read_mask(save(tmp_path / f"m.{suffix}", values, exif=exif)), np.rot90(values, -1))


@pytest.mark.parametrize("told", [0, 9, 300])
def test_an_orientation_that_is_none_leaves_a_picture_as_stored(tmp_path, told):
    exif = Image.Exif()
    exif[0x0112] = told
    path = save(tmp_path / "a.png", picture(3), exif=exif)
    assert read_picture(path)[1:] == read_head(path) == ((6, 8), 1)


DEEP = np.array([[[0, 1, 2], [255, 256, 300]], [[257, 514, 65535], [9, 9, 9]]], np.uint16)


def deep(path, values):
    """A file of 16 bits a channel: PNG or TIFF."""
    if path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(values)))
    else:
        tifffile.imwrite(path, values, photometric="rgb" if values.shape[2] > 2 else "minisblack")
    return path


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_pictures_of_16_bits_a_channel_keep_their_steps(tmp_path, suffix):
    path = deep(tmp_path / f"a.{suffix}", DEEP)
    np.testing.assert_allclose(read_picture(path)[0], DEEP / 65535, rtol=1e-6)
    np.testing.assert_allclose(read_picture(path, size=(1, 1))[0][0, 0], DEEP.mean(axis=(0, 1)) / 65535, rtol=1e-5)
    alpha = np.dstack([DEEP, np.full((2, 2), 7, np.uint16)])
    np.testing.assert_allclose(read_picture(deep(tmp_path / f"b.{suffix}", alpha))[0], DEEP / 65535, rtol=1e-6)


def test_sixteen_bit_grey_with_alpha_keeps_its_steps(tmp_path):
    path = deep(tmp_path / "a.png", DEEP[:, :, :2])
    np.testing.assert_allclose(read_picture(path)[0][:, :, 2], DEEP[:, :, 0] / 65535, rtol=1e-6)
    assert read_grey(path).tolist() == [[0, 255], [257, 9]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_values_of_a_mask_in_16_bit_colours_come_as_stored(tmp_path, suffix):
    values = np.array([[0, 1, 2], [3, 300, 65535]], np.uint16)
    path = deep(tmp_path / f"m.{suffix}", np.repeat(values[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(read_grey(path), values)
    assert read_grey(deep(tmp_path / f"c.{suffix}", DEEP)) is None


def test_wholly_transparent_pixels_of_16_bits_are_black(tmp_path):
    values = np.full((1, 2, 4), 5, np.uint16)
    values[0, 1, 3] = 0
    assert read_grey(deep(tmp_path / "m.png", values)).tolist() == [[5, 0]]


def test_colours_of_16_bits_are_taken_where_8_bits_hold_them_and_refused_elsewhere(tmp_path):
    eight = np.array([[[0, 128, 255], [7, 8, 9]]], np.uint16)
    assert read_colors(deep(tmp_path / "raw.png", eight)).tolist() == eight.tolist()
    assert read_colors(deep(tmp_path / "scaled.png", eight * 257)).tolist() == eight.tolist()
    with pytest.raises(DatasetError, match=r"other\.png has colours of 16 bits that 8 bits cannot hold"):
        read_colors(deep(tmp_path / "other.png", DEEP))


def test_a_cut_16_bit_file_is_refused_in_one_line(tmp_path):
    path = deep(tmp_path / "a.png", DEEP)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="truncated"):
        read_picture(path)
    path = deep(tmp_path / "a.tif", DEEP)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"a\.tif"):
        read_picture(path)


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
    Image.new("L", (4, 4)).save(tmp_path / "a.ppm")
    (tmp_path / "a.ppm").rename(tmp_path / "a.png")
    with pytest.raises(DatasetError, match="not a readable"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", r"set/a\.png is empty \(0 bytes\); copy or save it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"a pointer of Git LFS .* git lfs pull"),
        (b"\n<!DOCTYPE html><html>404</html>", "is a web page, as failed downloads are; download it again"),
        (b"a note", r"not a readable PNG, JPEG, .*; save it again"),
    ],
)
def test_what_stands_in_the_place_of_a_picture_is_named(tmp_path, content, problem):
    path = tmp_path / "set" / "a.png"
    path.parent.mkdir()
    path.write_bytes(content)
    for read in (read_picture, read_head, read_mask):
        with pytest.raises(DatasetError, match=problem):
            read(path)


def test_a_gif_is_read_and_an_animation_is_refused_without_counting_its_images(tmp_path):
    frames = [Image.new("L", (4, 4), k) for k in range(3)]
    frames[2].save(tmp_path / "one.gif")
    np.testing.assert_allclose(read_picture(tmp_path / "one.gif")[0], np.float32(2 / 255))
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DatasetError, match=r"film\.gif is an animation, but one file is one image"):
        read_picture(tmp_path / "film.gif")


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
