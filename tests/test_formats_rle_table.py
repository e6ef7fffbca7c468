"""Tables of run lengths, written by the encoder that Kaggle's competitions hand out, against the masks behind them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from format_mutations import mutate_folder
from fuzzing import trials
from make_dataset import picture, save
from places import shared_cases

from pipelines.datasets.opening import open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

HEIGHT, WIDTH = 24, 32


def encode(mask: np.ndarray, order: str = "column") -> str:
    """Kaggle's own few lines: starts from 1, then lengths."""
    pixels = np.concatenate([[0], (mask.T if order == "column" else mask).flatten().astype(int), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(map(str, runs))


def blob(seed: int, size=(HEIGHT, WIDTH)) -> np.ndarray:
    """A filled ellipse somewhere."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(size)
    reach = rng.uniform(4, 9, 2)
    return ((y - rng.uniform(0, size[0])) / reach[0]) ** 2 + ((x - rng.uniform(0, size[1])) / reach[1]) ** 2 < 1


def table(path: Path, header: str, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return path


def pictures(root: Path, count: int, folder: str = "train_images", size=(HEIGHT, WIDTH)) -> list[str]:
    names = [f"{number:02d}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        save(root / folder / name, picture(number, *size))
    return names


def opened(root: Path, **options):
    return open_source(root, DataReading(format="rle", options=options))[1]


def codes(source) -> dict[str, str]:
    return {row.code: row.message for row in source.findings}


def test_severstal(tmp_path):
    """A row for each class that an image has; images without a row have none."""
    names = pictures(tmp_path, 4)
    rows = [(name, key, encode(blob(10 * number + key))) for number, name in enumerate(names[:3]) for key in (3, 4, 10)]
    table(tmp_path / "train.csv", "ImageId,ClassId,EncodedPixels", rows)
    table(tmp_path / "sample_submission.csv", "ImageId,EncodedPixels,ClassId", [("00.jpg", "1 1", 1)])
    assert [row.format for row in recognise(tmp_path)] == ["rle"]
    dataset = open_dataset(tmp_path)
    assert dataset.kind == "overlapping"
    source = dataset.source
    assert [label.name for label in source.labels] == ["class 3", "class 4", "class 10"]
    for number in range(3):
        layers = source.truth(f"{number:02d}").layers
        for index, key in enumerate((3, 4, 10)):
            np.testing.assert_array_equal(layers[index], blob(10 * number + key))
    assert not source.truth("03").layers.any()
    assert codes(source)["IMAGE-UNLISTED"].startswith("1 pictures beside the others are not in train.csv and nothing")
    assert codes(source)["RUN-ORDER"].startswith("runs go down the columns")
    assert codes(source)["FILE-UNUSED"].startswith("sample_submission.csv")
    assert {path.name for path in source.files()} == {"train.csv", *names}
    assert opened(tmp_path, missing="skip").names() == ("00", "01", "02")


def test_image_and_class_in_one_column(tmp_path):
    names = pictures(tmp_path, 2)
    rows = [(f"{name}_{key}", encode(blob(key)) if key == 2 else "") for name in names for key in (1, 2, 3, 4)]
    table(tmp_path / "train.csv", "ImageId_ClassId,EncodedPixels", rows)
    _, source = open_source(tmp_path)
    assert [label.name for label in source.labels] == [f"class {key}" for key in (1, 2, 3, 4)]
    layers = source.truth("00").layers
    np.testing.assert_array_equal(layers[1], blob(2))
    assert not layers[[0, 2, 3]].any()


def test_airbus(tmp_path):
    """Several rows an image, one without runs for an image without ships; square pictures tell no order."""
    names = pictures(tmp_path, 3, "train_v2", (20, 20))
    first, second = blob(1, (20, 20)), blob(2, (20, 20))
    rows = [(names[0], encode(first)), (names[0], encode(second)), (names[1], ""), (names[2], encode(second))]
    table(tmp_path / "train_ship_segmentations_v2.csv", "ImageId,EncodedPixels", rows)
    _, source = open_source(tmp_path)
    assert [label.name for label in source.labels] == ["object"]
    np.testing.assert_array_equal(source.truth("00").layers[0], first | second)
    assert not source.truth("01").layers.any()
    (order,) = [row for row in source.findings if row.code == "RUN-ORDER"]
    assert (order.severity, order.message[:42]) == ("note", "runs are taken to go down the columns, as ")
    np.testing.assert_array_equal(opened(tmp_path, order="row").truth("02").layers[0], second.T)


def test_sartorius_has_no_endings_and_goes_along_rows(tmp_path):
    pictures(tmp_path, 2, "train")
    rows = [(f"{n:02d}", encode(blob(n), "row"), WIDTH, HEIGHT, kind) for n in (0, 1) for kind in ("astro", "cort")]
    table(tmp_path / "train.csv", "id,annotation,width,height,cell_type", rows)
    _, source = open_source(tmp_path)
    assert [label.name for label in source.labels] == ["astro", "cort"]
    np.testing.assert_array_equal(source.truth("01").layers, [blob(1), blob(1)])
    assert codes(source)["RUN-ORDER"].startswith("runs go along the rows")


def test_uw_madison_names_images_by_folder_and_slice(tmp_path):
    rows = []
    for number, (case, day, part) in enumerate(((1, 0, 1), (1, 0, 2), (2, 7, 1))):
        folder = tmp_path / "train" / f"case{case}" / f"case{case}_day{day}" / "scans"
        save(folder / f"slice_{part:04}_{WIDTH}_{HEIGHT}_1.50_1.50.png", picture(number, HEIGHT, WIDTH))
        for organ in ("large_bowel", "stomach"):
            runs = encode(blob(number), "row") if organ == "stomach" else ""
            rows.append((f"case{case}_day{day}_slice_{part:04}", organ, runs))
    table(tmp_path / "train.csv", "id,class,segmentation", rows)
    _, source = open_source(tmp_path)
    assert [label.name for label in source.labels] == ["large_bowel", "stomach"]
    for number, part in enumerate(("case1_day0__scans__slice_0001", "slice_0002", "case2_day7__scans__slice_0001")):
        (name,) = [name for name in source.names() if part in name]
        np.testing.assert_array_equal(source.truth(name).layers, [np.zeros((HEIGHT, WIDTH), bool), blob(number)])


@pytest.mark.parametrize("order", ["column", "row"])
def test_outlines_tell_which_way_runs_go(tmp_path, order):
    names = pictures(tmp_path, 3, "images")
    table(tmp_path / "masks.tsv", "img,rle", [(name, encode(blob(n), order)) for n, name in enumerate(names)])
    content = (tmp_path / "masks.tsv").read_text().replace(",", "\t")
    (tmp_path / "masks.tsv").write_text("\ufeff" + content, encoding="utf-8")
    _, source = open_source(tmp_path)
    for number in range(3):
        np.testing.assert_array_equal(source.truth(f"{number:02d}").layers[0], blob(number))


def test_bands_of_whole_lines_tell_nothing(tmp_path):
    """Upright bands in an upright picture would have shorter outlines along the rows."""
    names = pictures(tmp_path, 2, size=(WIDTH * 2, HEIGHT))
    band = np.zeros((WIDTH * 2, HEIGHT), bool)
    band[:, 5:15] = True
    table(tmp_path / "train.csv", "ImageId,EncodedPixels", [(name, encode(band)) for name in names])
    _, source = open_source(tmp_path)
    np.testing.assert_array_equal(source.truth("00").layers[0], band)
    assert codes(source)["RUN-ORDER"].startswith("runs are taken to go down the columns")


def test_pictures_of_other_folders_are_left_out(tmp_path):
    names = pictures(tmp_path, 2)
    save(tmp_path / "test_images" / "t.jpg", picture(8, HEIGHT, WIDTH))
    table(tmp_path / "train.csv", "ImageId,EncodedPixels", [(name, encode(blob(3))) for name in names])
    source = opened(tmp_path)
    assert source.names() == ("00", "01")
    assert codes(source)["IMAGE-ELSEWHERE"].endswith("are left out, such as test_images/t.jpg")


def test_what_nothing_tells_is_warned_of(tmp_path):
    pictures(tmp_path, 1, "images", (20, 20))
    table(tmp_path / "masks.csv", "image,rle", [("00.jpg", encode(blob(3, (20, 20))))])
    (order,) = [row for row in open_source(tmp_path)[1].findings if row.code == "RUN-ORDER"]
    assert order.severity == "warning"


def test_tables_and_folders_give_splits(tmp_path):
    for split in ("train", "val"):
        for number in range(2):
            save(tmp_path / f"{split}_images" / f"{split}{number}.png", picture(number, HEIGHT, WIDTH))
        rows = [(f"{split}{number}.png", encode(blob(number))) for number in range(2)]
        table(tmp_path / f"{split}.csv", "ImageId,EncodedPixels", rows)
    dataset = open_dataset(tmp_path)
    assert dataset.source.splits == {"train": ("train0", "train1"), "val": ("val0", "val1")}
    assert not [row for row in dataset.structure() if row.severity != "note"]
    assert opened(tmp_path, table="val.csv").names() == ("val0", "val1")
    with pytest.raises(DatasetError, match=r"no table of run lengths is called 'x' \(found: train.csv, val.csv\)"):
        opened(tmp_path, table="x")


@pytest.mark.parametrize("form", [str, lambda runs: str([runs[n : n + 2] for n in range(0, len(runs), 2)])])
def test_runs_may_stand_in_lists(tmp_path, form):
    names = pictures(tmp_path, 1)
    runs = list(map(int, encode(blob(4)).split()))
    table(tmp_path / "train.csv", "id,annotation", [(names[0], form(runs))])
    np.testing.assert_array_equal(open_source(tmp_path)[1].truth("00").layers[0], blob(4))


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ("760 10", "reach pixel 769, its image has 768"),
        ("1 5 3 4", "do not ascend"),
        ("1", "1 numbers, and the last start has no length"),
        ("0 5", "where the first pixel is 0, say first=0"),
        ("5 0", "have no length"),
        ("1 x", "not pairs of start and length, but '1 x'"),
        ("-5 3", "not pairs of start and length"),
        ("1.5 3", "not pairs of start and length"),
        ("9" * 40 + " 3", "reach pixel 1,099,511,627,778"),
        ("1 " + "9" * 40, "reach pixel"),
    ],
)
def test_a_broken_row_is_told_by_its_line(tmp_path, runs, said):
    names = pictures(tmp_path, 2)
    rows = [(names[0], 1, encode(blob(0))), (names[1], 1, runs)]
    table(tmp_path / "train.csv", "ImageId,ClassId,EncodedPixels", rows)
    dataset = open_dataset(tmp_path)
    assert dataset.examine("00").item is not None
    (finding,) = dataset.examine("01").findings
    assert (finding.code, finding.severity) == ("ANNOTATION", "error")
    assert finding.message.startswith("train.csv, line 3 (01): ")
    assert said in finding.message


def test_the_first_pixel_may_be_0(tmp_path):
    names = pictures(tmp_path, 1)
    mask = blob(4)
    mask[0, 0] = True
    starts = np.array(encode(mask).split(), int)
    starts[::2] -= 1
    table(tmp_path / "train.csv", "ImageId,EncodedPixels", [(names[0], " ".join(map(str, starts)))])
    np.testing.assert_array_equal(opened(tmp_path, first="0").truth("00").layers[0], mask)
    assert "first=0" in opened(tmp_path).truth("00").findings[0].message


@pytest.mark.parametrize("none", ["", "nan", "-1", " "])
def test_no_runs_are_nothing(tmp_path, none):
    names = pictures(tmp_path, 2)
    rows = [(names[0], none), (names[1], encode(blob(1)))]
    table(tmp_path / "train.csv", "ImageId,EncodedPixels", rows)
    truth = opened(tmp_path).truth("00")
    assert not truth.layers.any()
    assert truth.findings == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("ImageId,EncodedPixels\n00.jpg\n", "line 2 has 1 cells, its header 2"),
        ("ImageId,EncodedPixels\n,1 2\n", "line 2: it names no image"),
        ("ImageId,EncodedPixels\nother.jpg,1 2\n", "none of the images that train.csv names"),
        ("ImageId,EncodedPixels\n../../00.jpg,1 2\n/etc/passwd,1 2\n", None),
        ("ImageId,EncodedPixels\n", "none of the images that train.csv names"),
        ("ImageId,ClassId,EncodedPixels\n" + "".join(f"00.jpg,{n},1 2\n" for n in range(5000)), "5,000 classes"),
        ("ImageId,EncodedPixels\n" + "00.jpg,1 2\n" * 100_001, "line 100,002: 00.jpg has more than 100,000 rows"),
        ('ImageId,EncodedPixels\n00.jpg,"' + "1 2 " * 50_000 + '"\n', "is no row of a table"),
    ],
)
def test_broken_tables_are_one_line(tmp_path, content, said):
    pictures(tmp_path, 1)
    (tmp_path / "train.csv").write_text(content)
    if said is None:
        assert "IMAGE-OUTSIDE" in codes(opened(tmp_path))
        return
    with pytest.raises(DatasetError, match=said) as caught:
        opened(tmp_path)
    assert str(caught.value).isprintable()


def test_sizes_of_the_table_are_checked(tmp_path):
    names = pictures(tmp_path, 2)
    rows = [(names[0], "1 2", WIDTH + 1, HEIGHT), (names[1], "1 2", 10**9, 10**9)]
    table(tmp_path / "train.csv", "ImageId,EncodedPixels,Width,Height", rows)
    dataset = open_dataset(tmp_path)
    assert [row.code for row in dataset.examine("00").findings] == ["PAIR-SIZE"]
    assert "line 3: its size is given as" in dataset.examine("01").findings[0].message


@pytest.mark.parametrize(
    "content",
    [
        "image,label\n00.jpg,3\n", "id,annotation\n00,a cell\n", "id,segmentation\n00,\n", "a,b\n1,2\n", "", "\x00\xff",
        "EncodedPixels\n1 2\n", "id,annotation\n00,\n",
    ],
)  # fmt: skip
def test_other_tables_are_not_taken(tmp_path, content):
    pictures(tmp_path, 1)
    (tmp_path / "train.csv").write_text(content)
    assert recognise(tmp_path) == ()


def test_masks_beside_a_table_are_still_read_as_masks(tmp_path):
    """TGS Salt has both."""
    names = [name.replace("jpg", "png") for name in pictures(tmp_path, 2, "train/other")]
    for number, name in enumerate(names):
        save(tmp_path / "train" / "images" / name, picture(number, HEIGHT, WIDTH))
        save(tmp_path / "train" / "masks" / name, blob(number).astype(np.uint8) * 255)
    table(tmp_path / "train.csv", "id,rle_mask", [(f"{n:02d}", encode(blob(n))) for n in range(2)])
    first, *others = [row.format for row in recognise(tmp_path)]
    assert first == "indexed"
    assert "rle" in others


def test_severstal_of_the_shared_cases():
    root = shared_cases() / "severstal_rle" / "data"
    if not root.is_dir():
        pytest.skip("the shared cases are not here")
    dataset = open_dataset(root)
    with (root / "train.csv").open() as file:
        expected = sum(sum(map(int, row["EncodedPixels"].split()[1::2])) for row in csv.DictReader(file))
    source = dataset.source
    assert sum(int(source.truth(name).layers.sum()) for name in source.names()) == expected
    assert {row.code for row in dataset.structure()} == {"RUN-ORDER", "SPLIT-MADE"}


def test_broken_files_never_end_in_a_traceback(tmp_path):
    root = tmp_path / "good"
    names = pictures(root, 3)
    rows = [(name, key, encode(blob(n + key))) for n, name in enumerate(names) for key in (1, 2)]
    table(root / "train.csv", "ImageId,ClassId,EncodedPixels", rows)
    ended = mutate_folder(
        root, tmp_path / "bad", 300, 5, DataReading(format="rle"), which=lambda one: one.suffix == ".csv"
    )
    assert ended["findings"] > trials(60), ended
    assert ended["refused"] > trials(30), ended
