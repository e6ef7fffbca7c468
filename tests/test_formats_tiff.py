"""TIFF files of any number of channels, written by tifffile, as pictures and masks."""

import io
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from make_dataset import picture, save
from mask_layouts import index_mask, rows

from pipelines.datasets.formats import tiff_images
from pipelines.datasets.formats.tiff_images import PictureOptions, parse_options, read_channels, read_mask, read_picture
from pipelines.datasets.opening import open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading


def write(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, values, **options)
    return path


def values_of(shape, dtype, seed=0):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.random(shape).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)


def bands(root, channels=6, *, dtype=np.uint16, count=4):
    """Pictures of many channels and masks of one."""
    for index in range(count):
        write(root / "images" / f"{index}.tif", values_of((6, 8, channels), dtype, index), planarconfig="contig")
        write(root / "masks" / f"{index}.tif", index_mask(1, 2))
    return root


@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "zstd", "packbits", "lzma"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_channels_come_back_as_they_were_written(tmp_path, compression, planar, dtype):
    values = values_of((37, 50, 5), dtype)
    kept = values if planar == "contig" else values.transpose(2, 0, 1)
    path = write(tmp_path / "a.tif", kept, photometric="minisblack", planarconfig=planar, compression=compression)
    assert (read_channels(path) == values).all()


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(1, 7)),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "uint32", "float32", "float64"]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "tile": st.sampled_from([(16, 16), (32, 48)]),
            "bigtiff": st.booleans(),
            "byteorder": st.sampled_from("<>"),
            "compression": st.sampled_from(["deflate", "zstd"]),
        },
    ),
)
def test_any_shape_type_and_order_of_bytes_comes_back(tmp_path_factory, shape, dtype, options):
    values = values_of(shape, dtype)
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig" if shape[2] > 1 else None, **options)
    assert (read_channels(path) == values).all()
    assert tiff_images.read_head(path).channels == shape[2]


def test_tags_of_maps_are_passed_over(tmp_path):
    values = values_of((6, 8, 5), np.uint16)
    scale, tie = (33550, "d", 3, (10.0, 10.0, 0.0), True), (33922, "d", 6, (0.0, 0, 0, 5e5, 4e6, 0), True)
    path = write(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig", extratags=[scale, tie])
    assert (read_channels(path) == values).all()


def test_every_channel_is_a_band(tmp_path):
    values = values_of((6, 8, 5), np.uint16)
    path = write(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig")
    image, own, orientation = read_picture(path, PictureOptions())
    assert (image.dtype, own, orientation) == (np.float32, (6, 8), 1)
    np.testing.assert_allclose(image, values / 65535, atol=1e-6)


def test_other_channels_can_be_chosen_in_any_order(tmp_path):
    values = values_of((6, 8, 5), np.uint8)
    path = write(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig")
    for said, wanted in (
        ("5,2,1", [4, 1, 0]),
        ("4", [3]),
        ("3, 4", [2, 3]),
        ("2,2,2", [1, 1, 1]),
        ("5,4,3,1", [4, 3, 2, 0]),
    ):
        image, _, _ = read_picture(path, parse_options({"channels": said}))
        np.testing.assert_allclose(image, values[:, :, wanted] / 255, atol=1e-6)
    with pytest.raises(DatasetError, match="has 5 channels, asked for is channel 6; correct channels"):
        read_picture(path, parse_options({"channels": "6"}))


@pytest.mark.parametrize("wrong", [{"channels": "0,1"}, {"channels": ",".join("1" * 17)}, {"channels": "red"},
                                   {"channels": "1,"}, {"range": "5"},
                                   {"range": "5,5"}, {"range": "nan,3"}, {"pages": "volumes"}])  # fmt: skip
def test_options_that_mean_nothing_are_refused(wrong):
    with pytest.raises(DatasetError, match=f"{next(iter(wrong))} must be"):
        parse_options(wrong)


def test_a_range_maps_values_to_black_and_white(tmp_path):
    values = np.array([[0, 1000, 2000], [3000, 4000, 65535]], np.uint16)
    path = write(tmp_path / "a.tif", values)
    image, _, _ = read_picture(path, parse_options({"range": "1000,3000"}))
    assert image[:, :, 0].tolist() == [[0, 0, 0.5], [1, 1, 1]]
    image, _, _ = read_picture(path, parse_options({"range": "percentile"}))
    low, high = np.percentile(values, (1, 99))
    np.testing.assert_allclose(image[:, :, 1], np.clip((values - low) / (high - low), 0, 1), atol=1e-6)


def test_floats_beyond_one_need_a_range_and_values_that_are_not_finite_are_black(tmp_path):
    values = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    image, _, _ = read_picture(write(tmp_path / "a.tif", values), PictureOptions())
    assert image[0, :, 0].tolist() == [0, 0.5, 1, 0]
    path = write(tmp_path / "b.tif", np.array([[0.0, 812.5, np.inf]], np.float32))
    with pytest.raises(DatasetError, match=r"holds values from 0 to 812.5 \(float32\).*range=0,4000"):
        read_picture(path, PictureOptions())
    image, _, _ = read_picture(path, parse_options({"range": "0,1625"}))
    assert image[0, :, 0].tolist() == [0, 0.5, 0]


def test_sixteen_bit_rgb_keeps_its_steps_and_is_resized(tmp_path):
    values = values_of((6, 8, 3), np.uint16)
    path = write(tmp_path / "a.tif", values, photometric="rgb")
    image, _, _ = read_picture(path, PictureOptions())
    np.testing.assert_allclose(image, values / 65535, atol=1e-6)
    smaller, own, _ = read_picture(path, PictureOptions(), size=(3, 4))
    assert (smaller.shape, own) == ((3, 4, 3), (6, 8))
    assert smaller.min() >= 0
    assert smaller.max() <= 1


def test_channels_kept_as_pages_are_channels_where_the_file_says_so(tmp_path):
    values = values_of((4, 6, 8), np.uint16)
    imagej = write(tmp_path / "a.tif", values, imagej=True, metadata={"axes": "CYX"})
    ome = write(tmp_path / "b.ome.tif", values, ome=True, metadata={"axes": "CYX"})
    for path in (imagej, ome):
        assert (read_channels(path) == values.transpose(1, 2, 0)).all()


@pytest.mark.parametrize("shape", [(5, 20, 30), (20, 30, 5)])
def test_pages_that_nothing_explains_are_refused_or_read_as_the_option_says(tmp_path, shape):
    values = values_of(shape, np.uint8)
    path = write(tmp_path / "a.tif", values, photometric="minisblack")
    with pytest.raises(DatasetError, match=r"is a stack of .* pages=channels or pages=slices"):
        read_channels(path)
    expected = values.transpose(1, 2, 0) if shape[0] == 5 else values
    assert (read_channels(path, pages="channels") == expected).all()


def test_an_array_with_a_last_axis_of_one_is_one_channel(tmp_path):
    path = write(tmp_path / "a.tif", index_mask(1, 3)[:, :, None])
    assert (read_mask(path) == index_mask(1, 3)).all()


def test_masks_of_whole_numbers_keep_them_whatever_their_type(tmp_path):
    for dtype in (np.uint8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.float32):
        path = write(tmp_path / f"{np.dtype(dtype)}.tif", index_mask(1, 3).astype(dtype))
        assert (read_mask(path) == index_mask(1, 3)).all()
    path = write(tmp_path / "half.tif", np.full((2, 2), 0.5, np.float32))
    with pytest.raises(DatasetError, match=r"no whole numbers, such as 0\.5 \(float32\)"):
        read_mask(path)
    path = write(tmp_path / "large.tif", np.full((2, 2), 2**31, np.uint32))
    with pytest.raises(DatasetError, match="2147483648, but a mask's values are classes, at most 2,147,483,647"):
        read_mask(path)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
def test_pictures_of_many_channels_are_recognised(tmp_path, dtype):
    bands(tmp_path, dtype=dtype)
    found = recognise(tmp_path)
    assert [one.format for one in found] == ["tiff", "indexed"]
    assert "6 channels" in found[0].reason
    dataset = open_dataset(tmp_path)
    assert (dataset.kind, dataset.classes) == ("exclusive", ("background", "class 1", "class 2"))
    item = dataset.read("2")
    assert item.truth.sum(axis=(1, 2)).tolist() == [8, 16, 24]
    np.testing.assert_allclose(item.image, values_of((6, 8, 6), dtype, 2) / np.iinfo(dtype).max, atol=1e-6)
    assert dataset.bands.names == tuple(f"band {number}" for number in range(1, 7))
    assert (dataset.bands.display, dataset.bands.colors) == ((0, 1, 2), ())


def test_masks_with_a_channel_a_class_may_overlap(tmp_path):
    root = bands(tmp_path)
    for index in range(4):
        layers = np.stack([rows(0, 3), rows(3, 5)])
        write(root / "masks" / f"{index}.tif", layers, photometric="minisblack", planarconfig="separate")
    assert recognise(root)[0].reason == "its masks are TIFF files of several channels"
    dataset = open_dataset(root)
    assert (dataset.kind, dataset.classes) == ("overlapping", ("channel 1", "channel 2"))
    assert dataset.read("0").truth.sum(axis=(1, 2)).tolist() == [32, 24]
    (root / "classes.txt").write_text("cell\nnucleus\n")
    assert open_dataset(root).classes == ("cell", "nucleus")
    (root / "classes.txt").write_text("cell\n")
    with pytest.raises(DatasetError, match="names 1 classes, the masks have 2 channels"):
        open_dataset(root)


def test_soft_channels_are_errors_until_a_threshold_is_given(tmp_path):
    root = bands(tmp_path)
    layers = np.stack([rows(0, 3), rows(3, 5)])
    layers[0, 1] = 90
    for index in range(4):
        write(root / "masks" / f"{index}.tif", layers, photometric="minisblack", planarconfig="separate")
    found = open_dataset(root, DataReading(kind="overlapping")).examine("0")
    assert found.item is None
    assert found.findings[0].message.startswith(
        "channel 1 of masks/0.tif holds 0, 90, 255, allowed are 0 and one other"
    )
    dataset = open_dataset(root, DataReading(kind="overlapping", options={"threshold": "128"}))
    assert dataset.read("0").truth.sum(axis=(1, 2)).tolist() == [24, 24]


def test_stacks_are_cut_into_slices_of_one_group(tmp_path):
    for index in range(4):
        write(tmp_path / "images" / f"v{index}.tif", values_of((5, 6, 8), np.uint8, index), photometric="minisblack")
        mask = np.stack([rows(0, page, 1) for page in range(5)])
        write(tmp_path / "masks" / f"v{index}.tif", mask, photometric="minisblack")
    first = recognise(tmp_path)[0]
    assert (first.format, first.reason) == ("tiff", "its pictures are TIFF files of 5 pages")
    with pytest.raises(DatasetError, match=r"none of the masks can be read: .* pages=slices"):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, DataReading(format="tiff", options={"pages": "slices"}))
    assert len(dataset.names()) == 20
    assert dataset.names()[:2] == ("v0__1", "v0__2")
    assert set(dataset.groups.values()) == {"v0", "v1", "v2", "v3"}
    assert [int(dataset.read(f"v2__{page}").truth.sum()) for page in range(1, 6)] == [8, 16, 24, 32, 40]
    np.testing.assert_allclose(
        dataset.read("v3__4").image[:, :, 0], values_of((5, 6, 8), np.uint8, 3)[3] / 255, atol=1e-6
    )


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "minisblack"},
        {"photometric": "minisblack", "compression": "deflate"},
        {"photometric": "minisblack", "metadata": None},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"ome": True, "metadata": {"axes": "ZYX"}},
    ],
)
def test_any_slice_of_a_stack_is_read_alone(tmp_path, options):
    values = values_of((5, 6, 8), np.uint16)
    path = write(tmp_path / "a.tif", values, **options)
    assert tiff_images.read_head(path, "slices").slices == 5
    for page in range(5):
        assert (read_channels(path, page=page, pages="slices")[:, :, 0] == values[page]).all()
    with pytest.raises(DatasetError, match="has 5 slices, asked for is slice 6"):
        read_channels(path, page=5, pages="slices")


def test_slices_of_several_channels_are_cut_too(tmp_path):
    values = values_of((5, 4, 6, 8), np.uint16)  # slices, channels, height, width
    path = write(tmp_path / "a.tif", values, imagej=True, metadata={"axes": "ZCYX"})
    for page in range(5):
        assert (read_channels(path, page=page, pages="slices") == values[page].transpose(1, 2, 0)).all()


def test_pictures_of_many_channels_can_lie_beside_masks_of_other_formats(tmp_path):
    bands(tmp_path, channels=7)
    for index in range(4):
        (tmp_path / "masks" / f"{index}.tif").unlink()
        save(tmp_path / "masks" / "tree" / f"{index}.png", rows(0, 1))
        save(tmp_path / "masks" / "road" / f"{index}.png", rows(1, 2))
    found = open_source(tmp_path, DataReading(format="per_class", options={"channels": "7,6,5"}))[1]
    np.testing.assert_allclose(
        found.picture("1").image, values_of((6, 8, 7), np.uint16, 1)[:, :, [6, 5, 4]] / 65535, atol=1e-6
    )


def chain(*after: int) -> bytes:
    """A TIFF of empty pages, each at 8 + 6 × its number, and where each says that the next one is."""
    pages = b"".join(struct.pack("<HI", 0, 0 if one < 0 else 8 + 6 * one) for one in after)
    return b"II*\0" + struct.pack("<I", 8) + pages


def test_pages_in_a_circle_end(tmp_path):
    # tifffile looks for circles at the hundredth page only: one behind it would never end.
    path = tmp_path / "a.tif"
    path.write_bytes(chain(*range(1, 150), 140))
    with pytest.raises(DatasetError, match="its pages go round in a circle"):
        read_channels(path)
    path.write_bytes(chain(*range(1, 10_002), -1))
    with pytest.raises(DatasetError, match="more than 10,000 pages"):
        read_channels(path)


def test_a_small_file_that_claims_to_be_large_is_refused(tmp_path):
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((64, 64), np.uint8), compression="deflate")
    content = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(content)) as tif:
        places = [tif.pages[0].tags[tag].valueoffset for tag in ("ImageWidth", "ImageLength")]
        kinds = [tif.pages[0].tags[tag].dtype for tag in ("ImageWidth", "ImageLength")]
    for place, kind in zip(places, kinds, strict=True):
        struct.pack_into("<I" if kind == 4 else "<H", content, place, 60_000)
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="60000×60000, more than 67,108,864 pixels; cut it into tiles"):
        read_channels(path)


def test_a_multi_file_ome_description_reads_no_other_file(tmp_path):
    secret = write(tmp_path / "secret.ome.tif", np.full((6, 8), 77, np.uint8), ome=True)
    path = write(tmp_path / "set" / "a.ome.tif", np.zeros((6, 8), np.uint8), ome=True)
    content = path.read_bytes()
    begin = content.index(b"<TiffData")
    end = content.index(b"</TiffData>") if b"</TiffData>" in content else content.index(b"/>", begin)
    assert end > begin
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="8" SizeY="6" SizeC="1" '
        'SizeZ="1" SizeT="1"><Channel ID="Channel:0:0"/><TiffData IFD="0" PlaneCount="1">'
        f'<UUID FileName="../{secret.name}">urn:uuid:00000000-0000-0000-0000-000000000000</UUID></TiffData></Pixels>'
        "</Image></OME>"
    )
    write(path, np.zeros((6, 8), np.uint8), description=xml, metadata=None)
    assert not read_channels(path).any()


def test_a_png_called_tif_is_named(tmp_path):
    path = save(tmp_path / "a.png", picture(0)).rename(tmp_path / "a.tif")
    with pytest.raises(DatasetError, match="is no TIFF file; save it again"):
        read_picture(path, PictureOptions())
