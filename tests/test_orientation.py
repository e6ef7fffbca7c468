"""Pictures that EXIF turns and their truth agree pixel by pixel, in every format, however the truth was drawn."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from make_dataset import save
from PIL import Image, ImageOps
from places import shared_data

from pipelines.datasets.check import check_dataset
from pipelines.datasets.opening import FORMATS, open_dataset
from pipelines.datasets.preview import PreviewRequest, preview_dataset
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

CASES = shared_data().parent / "cases"
COLORS = np.array([[250, 250, 250], [200, 0, 0], [0, 0, 200]], np.uint8)  # of the values 0, 1 and 2
WIDE, SQUARE = (6, 10), (8, 8)


def marked(shape, shift=0):
    """Values of a picture as stored: 1 in a corner, 2 in a bar that touches it; unlike itself however it is turned."""
    values = np.zeros(shape, np.uint8)
    values[0 : 2 + shift, 0:3] = 1
    values[0 : 2 + shift, 3:5] = 2
    return values


def upright(values, orientation):
    """As Pillow turns an image that says so: the independent judge of `imageio.turn`."""
    image = Image.fromarray(values)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def exif(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def encoded(values, **options):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG", **options)
    return stream.getvalue()


def photos(root, images, *, folder="images", suffix="png"):
    for name, (values, orientation, _) in images.items():
        save(root / folder / f"{name}.{suffix}", COLORS[values], exif=exif(orientation))


def native(root, images):
    photos(root, images)
    for name, (_, _, mask) in images.items():
        save(root / "masks" / f"{name}.png", mask)
    (root / "dataset.toml").write_text('name = "Small"\nkind = "exclusive"\nclasses = ["background", "one", "two"]\n')


def native_layers(root, images):
    photos(root, images)
    for name, (_, _, mask) in images.items():
        for value, label in ((1, "one"), (2, "two")):
            save(root / "masks" / label / f"{name}.png", (mask == value).astype(np.uint8) * 255)
    (root / "dataset.toml").write_text('name = "Small"\nkind = "overlapping"\nclasses = ["one", "two"]\n')


def indexed(root, images):
    photos(root, images)
    for name, (_, _, mask) in images.items():
        save(root / "masks" / f"{name}.png", mask)


def colored(root, images):
    photos(root, images)
    for name, (_, _, mask) in images.items():
        save(root / "masks" / f"{name}.png", np.array([[0, 0, 0], [200, 0, 0], [0, 0, 200]], np.uint8)[mask])


def per_class(root, images):
    photos(root, images)
    for name, (_, _, mask) in images.items():
        for value, label in ((1, "one"), (2, "two")):
            save(root / "masks" / label / f"{name}.png", (mask == value).astype(np.uint8) * 255)


def instances(root, images):
    photos(root, images)
    for name, (_, _, mask) in images.items():
        for value in (1, 2):
            save(root / "masks" / name / f"{value}.png", (mask == value).astype(np.uint8) * 255)


def voc(root, images):
    photos(root, images, folder="JPEGImages", suffix="png")
    for name, (_, _, mask) in images.items():
        save(root / "SegmentationClass" / f"{name}.png", mask)


def coco(root, images):
    photos(root, images)
    annotations = []
    for number, (_, _, mask) in enumerate(images.values()):
        for value in (1, 2):
            flat = (mask == value).T.ravel()
            starts = np.flatnonzero(np.diff(flat, prepend=False)).tolist()
            counts = np.diff([0, *starts, flat.size]).tolist()
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": value, "iscrowd": 0,
                 "segmentation": {"size": list(mask.shape), "counts": counts}}
            )  # fmt: skip
    listed = [
        {"id": number, "file_name": f"{name}.png", "height": mask.shape[0], "width": mask.shape[1]}
        for number, (name, (_, _, mask)) in enumerate(images.items())
    ]
    categories = [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
    (root / "annotations.json").write_text(
        json.dumps({"images": listed, "annotations": annotations, "categories": categories})
    )


def labelme(root, images):
    photos(root, images, folder="")
    for name, (_, _, mask) in images.items():
        shapes = []
        for value, label in ((1, "one"), (2, "two")):
            rows, columns = np.nonzero(mask == value)
            points = [[int(columns.min()), int(rows.min())], [int(columns.max()), int(rows.max())]]
            shapes.append({"label": label, "points": points, "shape_type": "rectangle"})
        sheet = {"imagePath": f"{name}.png", "imageHeight": mask.shape[0], "imageWidth": mask.shape[1],
                 "imageData": None, "shapes": shapes}  # fmt: skip
        (root / f"{name}.json").write_text(json.dumps(sheet))


def huggingface(root, images):
    root.mkdir(parents=True, exist_ok=True)
    table = {
        "image": [
            {"bytes": encoded(COLORS[v], exif=exif(o)), "path": f"{name}.png"} for name, (v, o, _) in images.items()
        ],
        "mask": [{"bytes": encoded(mask), "path": f"{name}.png"} for name, (_, _, mask) in images.items()],
    }
    pq.write_table(pa.table(table), root / "train.parquet")


def nnunet(root, images):
    for name, (values, orientation, mask) in images.items():
        save(root / "imagesTr" / f"{name}_0000.png", COLORS[values], exif=exif(orientation))
        save(root / "labelsTr" / f"{name}.png", mask)
    labels = {"background": 0, "one": 1, "two": 2}
    (root / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": labels, "file_ending": ".png"})
    )


def tiff(root, images):
    """Four bands with an orientation tag, of which three are shown."""
    for name, (values, orientation, mask) in images.items():
        four = np.dstack([COLORS[values].astype(np.uint16) * 257, np.zeros(values.shape, np.uint16)])
        (root / "images").mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(
            root / "images" / f"{name}.tif", four, photometric="minisblack", planarconfig="contig",
            extratags=[(274, 3, 1, orientation, True)],
        )  # fmt: skip
        save(root / "masks" / f"{name}.tif", mask)


WRITERS = {
    "native": native, "native_layers": native_layers, "indexed": indexed, "colored": colored, "per_class": per_class,
    "instances": instances, "voc": voc, "coco": coco, "labelme": labelme, "huggingface": huggingface,
    "nnunet": nnunet, "tiff": tiff,
}  # fmt: skip


def images_of(shape, drawn, orientations):
    """Name to picture as stored, its orientation, and the mask, drawn on the stored or on the upright picture."""
    made = {}
    for orientation in orientations:
        for shift in (0, 1):
            values = marked(shape, shift)
            mask = values if drawn == "stored" else np.ascontiguousarray(upright(values, orientation))
            made[f"p{orientation}{shift}"] = (values, orientation, mask)
    return made


def agrees(dataset, images):
    """Whether every truth lies on the colours of its picture, which is upright."""
    for name, (values, orientation, _) in images.items():
        item = dataset.read(name)
        right = upright(values, orientation)
        np.testing.assert_allclose(dataset.bands.picture(item.image), COLORS[right] / 255, atol=1e-3)
        layers = dict(zip(dataset.classes, item.truth, strict=True))
        found = [layers[one] for one in dataset.classes if one not in ("background", "class 0")]
        expected = [right == 1, right == 2] if len(found) == 2 else [right > 0]
        if not all(any(np.array_equal(one, other) for other in found) for one in expected):
            return False
    return True


@pytest.mark.parametrize("drawn", ["stored", "upright"])
@pytest.mark.parametrize("form", WRITERS)
def test_sizes_tell_how_truth_lies_and_picture_and_truth_agree(tmp_path, form, drawn):
    images = images_of(WIDE, drawn, (5, 6, 7, 8))
    WRITERS[form](tmp_path, images)
    dataset = open_dataset(tmp_path)
    assert agrees(dataset, images)
    turns = {dataset.examine(name).turn for name in dataset.names()}
    assert {(turn.drawn, turn.by) for turn in turns} == {(drawn, "size")}


@pytest.mark.parametrize("drawn", ["stored", "upright"])
@pytest.mark.parametrize("form", WRITERS)
def test_the_option_tells_where_sizes_do_not(tmp_path, form, drawn):
    images = images_of(SQUARE, drawn, range(1, 9))
    WRITERS[form](tmp_path, images)
    assert "orientation" in FORMATS[form.removesuffix("_layers")].options
    said = DataReading(options={"orientation": drawn})
    assert agrees(open_dataset(tmp_path, said), images)
    other = {"stored": "upright", "upright": "stored"}[drawn]
    assert not agrees(open_dataset(tmp_path, DataReading(options={"orientation": other})), images)


@pytest.mark.parametrize("drawn", ["stored", "upright"])
@pytest.mark.parametrize("form", ["native", "coco", "huggingface"])
def test_other_images_tell_by_their_sizes(tmp_path, form, drawn):
    images = images_of(WIDE, drawn, (2, 3, 4)) | {"wide": images_of(WIDE, drawn, (6,))["p60"]}
    images |= {f"square{name}": one for name, one in images_of(SQUARE, drawn, (5, 6, 7, 8)).items()}
    WRITERS[form](tmp_path, images)
    dataset = open_dataset(tmp_path)
    assert agrees(dataset, images)
    assert (dataset.examine("p30").turn.drawn, dataset.examine("p30").turn.by) == (drawn, "others")
    found = [one for one in check_dataset(dataset).findings if one.code == "EXIF-UNDECIDED"]
    assert [one.severity for one in found] == ["warning"]
    # 3 flips and 4 turns of squares, two images each; the mirror of a bar along the edge differs in all of them
    assert found[0].message.startswith("14 pictures are turned by EXIF, such as p20, whose size does not tell")


@pytest.mark.parametrize("drawn", ["stored", "upright"])
def test_colours_tell_where_no_size_does_in_eight_images_or_more(tmp_path, drawn):
    images = images_of(WIDE, drawn, (2, 3, 4)) | {f"q{name}": one for name, one in images_of(WIDE, drawn, (3,)).items()}
    native(tmp_path, images)
    dataset = open_dataset(tmp_path)
    assert agrees(dataset, images)
    assert {dataset.examine(name).turn.by for name in images} == {"colors"}


def test_flat_pictures_tell_nothing(tmp_path):
    flat = np.zeros(WIDE, np.uint8)
    native(tmp_path, {f"p{index}": (flat, 3, marked(WIDE)) for index in range(10)})
    assert {open_dataset(tmp_path).examine(f"p{index}").turn.by for index in range(10)} == {"default"}


def test_truth_is_upright_where_nothing_tells_and_a_warning_says_so(tmp_path):
    images = images_of(WIDE, "stored", (3,))  # two images: too few to trust colours
    native(tmp_path, images)
    report = check_dataset(open_dataset(tmp_path))
    (warning,) = [one for one in report.findings if one.code == "EXIF-UNDECIDED"]
    assert "it was taken as upright, since nothing tells otherwise" in warning.message
    assert "classes differ more in colour as stored in 2 of 2" in warning.message
    (note,) = [one for one in report.findings if one.code == "EXIF-TURNED"]
    assert note.message.startswith("2 pictures are turned upright by EXIF; the truth of 0 was taken as drawn on")


def test_sizes_that_contradict_each_other_tell_nothing(tmp_path):
    images = images_of(WIDE, "stored", (6, 3)) | {"other": images_of(WIDE, "upright", (8,))["p80"]}
    native(tmp_path, images)
    dataset = open_dataset(tmp_path)
    assert dataset.examine("p60").turn.drawn == "stored"
    assert dataset.examine("other").turn.drawn == "upright"
    assert dataset.examine("p30").turn.by == "default"


def test_truth_that_looks_the_same_turned_needs_no_decision(tmp_path):
    images = {f"p{index}": (np.zeros(WIDE, np.uint8), 3, np.zeros(WIDE, np.uint8)) for index in range(3)}
    native(tmp_path, images)
    report = check_dataset(open_dataset(tmp_path))
    assert "EXIF-UNDECIDED" not in {one.code for one in report.findings}
    assert "EXIF-TURNED" in {one.code for one in report.findings}


def test_upright_sets_say_nothing_of_exif(tmp_path):
    native(tmp_path, images_of(WIDE, "stored", (1,)) | images_of(SQUARE, "stored", (1,)))
    assert not [one for one in check_dataset(open_dataset(tmp_path)).findings if one.code.startswith("EXIF")]


def test_another_word_for_the_option_is_refused(tmp_path):
    indexed(tmp_path, images_of(WIDE, "stored", (3,)))
    with pytest.raises(DatasetError, match="orientation must be upright, stored or left out, got 'sideways'"):
        open_dataset(tmp_path, DataReading(options={"orientation": "sideways"}))


def test_run_lengths_tell_the_size_where_a_coco_file_gives_none(tmp_path):
    images = images_of(WIDE, "stored", (6, 8))
    coco(tmp_path, images)
    path = tmp_path / "annotations.json"
    said = json.loads(path.read_text())
    said["images"] = [{"id": one["id"], "file_name": one["file_name"]} for one in said["images"]]
    path.write_text(json.dumps(said))
    assert agrees(open_dataset(tmp_path), images)


def test_known_probabilities_are_turned_with_their_truth(tmp_path):
    images = images_of(WIDE, "stored", (6,))
    native_layers(tmp_path, images)
    for name, (_, _, mask) in images.items():
        for value, label in ((1, "one"), (2, "two")):
            save(tmp_path / "probabilities" / label / f"{name}.png", (mask == value).astype(np.uint8) * 255)
    dataset = open_dataset(tmp_path)
    np.testing.assert_array_equal(dataset.probabilities("p60"), dataset.read("p60").truth)


@pytest.mark.parametrize("drawn", ["stored", "upright"])
def test_a_first_look_shows_picture_and_truth_alike(tmp_path, drawn):
    images = images_of((60, 400), drawn, (6,)) | images_of(SQUARE, drawn, (3,))  # the first is made smaller
    indexed(tmp_path, images)
    looked, arrays = preview_dataset(PreviewRequest(path=str(tmp_path)))
    assert sorted(looked.shown) == sorted(images)
    for at, name in enumerate(looked.shown):
        layers = np.unpackbits(arrays[f"layers{at}"], axis=-1, count=arrays[f"valid{at}"].shape[1]).astype(bool)
        red = arrays[f"image{at}"][:, :, 1] == 0
        assert red.shape == layers.shape[1:]
        assert (layers[0] != red).mean() > 0.95, name  # but for blurred edges
    assert "EXIF-UNDECIDED" in {one.code for one in looked.findings}


@pytest.mark.parametrize(
    ("case", "counts"),
    [
        ("exif_unrotated_mask", [12649, 810, 888, 1013]),
        ("exif3_stored", [12649, 810, 888, 1013]),
        ("coco_exif", [2880]),
    ],
)
def test_cases_from_bug_reports_are_read_as_they_were_drawn(case, counts):
    root = CASES / case / "data"
    if not root.is_dir():
        pytest.skip("the folder shared/cases is not beside this checkout")
    report = check_dataset(open_dataset(root))
    assert report.ok
    assert [one.pixels for one in report.class_facts] == counts
    dataset = open_dataset(root)
    assert {dataset.examine(name).turn.drawn for name in dataset.names()} == {"stored"}
