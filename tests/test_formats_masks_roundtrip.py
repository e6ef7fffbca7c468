"""Generated truth, written in each format of masks and read back pixel by pixel."""

import json

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from make_dataset import picture, save
from mask_layouts import FOLDERS, save_image, with_palette

from pipelines.datasets.formats.voc import CLASSES, voc_color
from pipelines.datasets.opening import open_dataset, recognise
from pipelines.reading import DataReading, parse_reading

NAMES = ("soil", "grass", "tree", "lake road")
SHAPE = (5, 7)

label_maps = st.lists(arrays.arrays(np.uint8, SHAPE, elements=st.integers(0, 3)), min_size=2, max_size=4)
layered = st.lists(arrays.arrays(np.bool_, (3, *SHAPE)), min_size=2, max_size=4)
quickly = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def with_pictures(root, masks, folder="images"):
    for index in range(len(masks)):
        save(root / folder / f"p{index}.png", picture(index, *SHAPE))
    (root / "masks").mkdir(parents=True, exist_ok=True)
    return root


def check_exclusive(root, masks, reading=None, names=NAMES):
    """Every pixel carries the class that its value had."""
    reading = (reading or DataReading()).model_copy(update={"kind": "exclusive"})
    dataset = open_dataset(root, reading)
    assert dataset.kind == "exclusive"
    assert set(dataset.classes) <= set(names)
    for index, mask in enumerate(masks):
        item = dataset.read(f"p{index}")
        assert item.valid.all()
        np.testing.assert_allclose(item.image, picture(index, *SHAPE) / 255, atol=1e-6)
        for name, layer in zip(dataset.classes, item.truth, strict=True):
            assert (layer == (mask == names.index(name))).all()


def check_overlapping(root, masks, form):
    names = ("cell", "nucleus", "wall")
    dataset = open_dataset(root, DataReading(format=form, kind="overlapping", options={"missing": "empty"}))
    for index, mask in enumerate(masks):
        item = dataset.read(f"p{index}")
        for name, layer in zip(dataset.classes, item.truth, strict=True):
            assert (layer == mask[names.index(name)]).all()
        absent = [mask[names.index(name)].any() for name in names if name not in dataset.classes]
        assert not any(absent)


@quickly
@given(masks=label_maps, way=st.sampled_from(["grey", "palette", "16 bit", "tiff", "float tiff", "rgb grey", "bmp"]))
def test_indexed_masks_come_back(tmp_path_factory, masks, way):
    root = with_pictures(tmp_path_factory.mktemp("set"), masks)
    for index, mask in enumerate(masks):
        path = root / "masks" / f"p{index}.png"
        if way == "palette":
            save_image(path, with_palette(mask, (9, 9, 9), (0, 99, 0), (0, 200, 0), (0, 0, 200)))
        elif way in ("tiff", "float tiff"):
            values = mask.astype(np.float32 if way == "float tiff" else np.uint16)
            tifffile.imwrite(path.with_suffix(".tif"), values, compression="zstd")
        else:
            made = {"16 bit": mask.astype(np.uint16), "rgb grey": np.dstack([mask] * 3)}.get(way, mask)
            save(path.with_suffix(".bmp") if way == "bmp" else path, made)
    (root / "classes.csv").write_text("value,name\n" + "".join(f"{at},{name}\n" for at, name in enumerate(NAMES)))
    check_exclusive(root, masks, DataReading(format="tiff" if "tiff" in way else "indexed"))


@quickly
@given(
    masks=label_maps,
    colors=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=4, max_size=4, unique=True),
    way=st.sampled_from(["rgb", "rgba", "palette", "option"]),
)
def test_coloured_masks_come_back(tmp_path_factory, masks, colors, way):
    root = with_pictures(tmp_path_factory.mktemp("set"), masks)
    table = np.array(colors, np.uint8)
    for index, mask in enumerate(masks):
        path = root / "masks" / f"p{index}.png"
        if way == "palette":  # another order of the palette in every file
            order = np.roll(np.arange(4), index)
            save_image(path, with_palette(np.argsort(order)[mask].astype(np.uint8), *(colors[one] for one in order)))
        else:
            rgb = table[mask]
            save(path, np.dstack([rgb, np.full(SHAPE, 255, np.uint8)]) if way == "rgba" else rgb)
    options = {}
    if way == "option":
        options["colors"] = ", ".join(
            f"{name}=#{red:02x}{green:02x}{blue:02x}" for name, (red, green, blue) in zip(NAMES, colors, strict=True)
        )
    else:
        lines = [f"{red} {green} {blue} {name}" for name, (red, green, blue) in zip(NAMES, colors, strict=True)]
        (root / "label_colors.txt").write_text("\n".join(lines))
    check_exclusive(root, masks, DataReading(format="colored", options=options))


@quickly
@given(masks=label_maps)
def test_voc_masks_come_back(tmp_path_factory, masks):
    assume(any(mask.any() for mask in masks))  # background alone is no data set
    root = with_pictures(tmp_path_factory.mktemp("set"), masks, "JPEGImages")
    palette = [tuple(int(voc_color(value)[at : at + 2], 16) for at in (1, 3, 5)) for value in range(256)]
    for index, mask in enumerate(masks):
        save_image(root / "SegmentationClass" / f"p{index}.png", with_palette(mask * 5, *palette))
    dataset = open_dataset(root, DataReading(format="voc", kind="exclusive", background="background"))
    for index, mask in enumerate(masks):
        for name, layer in zip(dataset.classes, dataset.read(f"p{index}").truth, strict=True):
            assert (layer == (mask * 5 == CLASSES.index(name))).all()


@quickly
@given(masks=layered, way=st.sampled_from(["folders", "suffixes", "by picture"]), value=st.sampled_from([1, 7, 255]))
def test_masks_by_class_come_back(tmp_path_factory, masks, way, value):
    root = with_pictures(tmp_path_factory.mktemp("set"), masks)
    pattern = {"folders": "{1}/{0}.png", "suffixes": "{0}_{1}.png", "by picture": "{0}/{1}.png"}[way]
    for index, mask in enumerate(masks):
        for name, layer in zip(("cell", "nucleus", "wall"), mask, strict=True):
            if layer.any() or index == 0:  # an empty mask may be missing
                save(root / "masks" / pattern.format(f"p{index}", name), layer.astype(np.uint8) * np.uint8(value))
    check_overlapping(root, masks, "per_class")


@quickly
@given(masks=layered, cuts=st.integers(1, 4))
def test_masks_by_object_come_back_united(tmp_path_factory, masks, cuts):
    root = with_pictures(tmp_path_factory.mktemp("set"), masks)
    for index, mask in enumerate(masks):
        for name, layer in zip(("cell", "nucleus", "wall"), mask, strict=True):
            for number in range(cuts + 1):  # every (cuts + 1)th column is an object of its own
                part = np.zeros(SHAPE, np.uint8)
                part[:, number :: cuts + 1] = layer[:, number :: cuts + 1] * np.uint8(255)
                save(root / "masks" / f"p{index}" / name / f"{number}.png", part)
    check_overlapping(root, masks, "instances")


@pytest.mark.parametrize("planar", ["contig", "separate"])
@quickly
@given(masks=layered)
def test_masks_of_channels_come_back(tmp_path_factory, planar, masks):
    root = with_pictures(tmp_path_factory.mktemp("set"), masks)
    for index, mask in enumerate(masks):
        values = mask.astype(np.uint8) * np.uint8(255)
        values = values.transpose(1, 2, 0) if planar == "contig" else values
        path = root / "masks" / f"p{index}.tif"
        tifffile.imwrite(path, values, photometric="minisblack", planarconfig=planar, compression="deflate")
    (root / "classes.txt").write_text("cell\nnucleus\nwall\n")
    dataset = open_dataset(root, DataReading(format="tiff", kind="overlapping"))
    assert dataset.classes == ("cell", "nucleus", "wall")
    for index, mask in enumerate(masks):
        assert (dataset.read(f"p{index}").truth == mask).all()


@pytest.mark.parametrize("form", FOLDERS)
def test_a_reading_spelt_out_reads_the_same(tmp_path, form):
    FOLDERS[form](tmp_path)
    assert recognise(tmp_path)[0].format == form
    first = open_dataset(tmp_path)
    reading = first.spec
    again = open_dataset(tmp_path, parse_reading(json.loads(reading.model_dump_json()), "reading"))
    assert (again.kind, again.classes, again.colors, again.background) == (
        first.kind, first.classes, first.colors, first.background
    )  # fmt: skip
    assert again.fingerprint() == first.fingerprint()
    for name in first.names():
        one, other = first.read(name), again.read(name)
        assert (one.truth == other.truth).all()
        assert (one.valid == other.valid).all()


@pytest.mark.parametrize("form", FOLDERS)
def test_a_fingerprint_follows_every_file(tmp_path, form):
    FOLDERS[form](tmp_path)
    seen = {open_dataset(tmp_path, DataReading(format=form)).fingerprint()}
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".txt"):
        content = path.read_bytes()
        path.write_bytes(content + b"\0")  # behind the end of an image, where no reader looks
        seen.add(open_dataset(tmp_path, DataReading(format=form)).fingerprint())
        path.write_bytes(content)
    assert len(seen) == 1 + sum(path.is_file() and path.suffix != ".txt" for path in tmp_path.rglob("*"))
