"""Images of 1 to 16 bands, from their files to what a network learns of them and what people see of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from make_dataset import save
from PIL import Image

from pipelines.config import TrainingConfig
from pipelines.datasets.bands import RGB, Bands, choose_bands
from pipelines.datasets.base import Item
from pipelines.datasets.facts import scan
from pipelines.datasets.opening import open_dataset
from pipelines.datasets.preview import PreviewRequest, preview_dataset
from pipelines.errors import DatasetError, ModelError
from pipelines.heads import head_specs
from pipelines.progress import Progress
from pipelines.reading import DataReading
from pipelines.training.batches import Augmentation, training_batches
from pipelines.training.loop import train_pair
from pipelines.training.models import HeadFile, build_pair, load_model, load_pair, save_model
from pipelines.training.predict import normalise

HEIGHT, WIDTH = 24, 32
SENTINEL_2 = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")


def values_of(number, bands, dtype=np.uint16):
    """An image of noise, (H, W, bands) of whole numbers below 4,000, or 200 where bytes hold them."""
    noise = np.random.default_rng(number).integers(0, 200 if dtype == np.uint8 else 4000, (HEIGHT, WIDTH, bands))
    return noise.astype(dtype)


def mask_of(number):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[4 : 14 + number % 4, 6:20] = 1
    return mask


def write_set(root: Path, values=values_of, count=10, **options) -> Path:
    """TIFF images by number, each with a mask of 0 and 1. options: of tifffile."""
    for number in range(count):
        save(root / "masks" / f"{number:02}.png", mask_of(number))
        (root / "images").mkdir(exist_ok=True)
        image = values(number)
        kept = options | ({"planarconfig": None} if image.shape[2] == 1 else {})
        tifffile.imwrite(root / "images" / f"{number:02}.tif", image.squeeze(), **kept)
    return root


def open_with(root, **options):
    return open_dataset(root, DataReading(options=options))


def described(names, role="description"):
    """The tag in which GDAL names bands."""
    items = "".join(f'<Item name="X" sample="{at}" role="{role}">{name}</Item>' for at, name in enumerate(names))
    return {"extratags": [(42112, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True)]}


GREY = {"photometric": "minisblack", "planarconfig": "contig"}


# What a file's channels are ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 2, 4, 13, 16])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_every_band_of_a_file_is_in_the_image(tmp_path, bands, dtype):
    root = write_set(tmp_path, lambda number: values_of(number, bands, dtype), **GREY)
    dataset = open_with(root, range="0,4000")
    grey_photograph = bands == 1 and dtype != np.float32  # three equal channels, as it always was
    expected = np.repeat(values_of(3, bands, dtype) / 4000, 3 if grey_photograph else 1, axis=2)
    image = dataset.read("03").image
    assert image.dtype == np.float32
    assert image.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(image, expected, atol=1e-6)
    assert dataset.bands.count == expected.shape[2]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_fourth_band_that_is_tagged_as_transparency_is_a_band_where_it_holds_more(tmp_path, dtype):
    root = write_set(tmp_path, lambda number: values_of(number, 4, dtype))  # what tifffile makes of four channels
    with tifffile.TiffFile(root / "images" / "00.tif") as file:
        assert file.pages[0].extrasamples == (2,)
    dataset = open_dataset(root)
    np.testing.assert_allclose(dataset.read("02").image, values_of(2, 4, dtype) / np.iinfo(dtype).max, atol=1e-6)
    assert dataset.bands == Bands(names=("red", "green", "blue", "band 4"), display=(0, 1, 2), colors=(0, 1, 2))
    (note,) = [finding for finding in dataset.structure() if finding.code == "ALPHA-BAND"]
    assert note.message.startswith("channel 4 of ")
    assert open_with(root, channels="1,2,3").bands == RGB


def test_transparency_is_left_out_and_photographs_stay_as_they_were(tmp_path):
    def cut_out(number):
        values = values_of(number, 4, np.uint8)
        values[:, :, 3] = np.where(mask_of(number), 255, 0)
        return values

    dataset = open_dataset(write_set(tmp_path, cut_out))
    assert dataset.bands == RGB
    pillow = np.asarray(Image.open(tmp_path / "images" / "01.tif").convert("RGB"))
    np.testing.assert_array_equal(dataset.read("01").image, np.multiply(pillow, np.float32(1 / 255)))


def test_an_unnamed_fourth_channel_of_bytes_is_a_band(tmp_path):
    root = write_set(tmp_path, lambda number: values_of(number, 4, np.uint8), photometric="rgb", extrasamples=(0,))
    np.testing.assert_allclose(open_dataset(root).read("02").image, values_of(2, 4, np.uint8) / 255, atol=1e-6)


def test_more_bands_than_a_network_takes_have_to_be_picked(tmp_path):
    root = write_set(tmp_path, lambda number: values_of(number, 20), **GREY)
    with pytest.raises(DatasetError, match="has 20 channels, and a network takes up to 16; pick them with channels"):
        open_dataset(root)
    image = open_with(root, channels="20,7", range="0,4000").read("00").image
    np.testing.assert_allclose(image, values_of(0, 20)[:, :, [19, 6]] / 4000, atol=1e-6)


def test_an_image_with_other_bands_than_the_first_is_an_error_of_its_own(tmp_path):
    root = write_set(tmp_path, lambda number: values_of(number, 5 if number == 4 else 6), **GREY)
    dataset = open_dataset(root)
    assert dataset.read("03").image.shape == (HEIGHT, WIDTH, 6)
    (finding,) = dataset.examine("04").findings
    assert (finding.code, finding.severity) == ("BANDS", "error")
    assert finding.message.startswith("04 has 5 bands, the images of ")
    assert open_with(root, channels="1,2,5,4").read("04").image.shape == (HEIGHT, WIDTH, 4)


# How values are scaled -----------------------------------------------------------------------------------------------


def test_what_is_not_finite_becomes_0_in_its_band_alone(tmp_path):
    def gaps(number):
        values = values_of(number, 13, np.float32)
        values[2:5, :, 7], values[0, 0, 1] = np.nan, np.inf
        return values

    image = open_with(write_set(tmp_path, gaps, **GREY), range="-1000,4000").read("05").image
    expected = (gaps(5) + 1000) / 5000
    expected[2:5, :, 7] = expected[0, 0, 1] = 0
    np.testing.assert_allclose(image, expected, atol=1e-6)


@pytest.mark.parametrize(("bands", "together"), [(1, True), (2, False), (3, True), (5, False)])
def test_percentiles_are_those_of_each_band_and_of_three_together(tmp_path, bands, together):
    def values(number):
        return values_of(number, bands, np.float32) * np.arange(1, bands + 1, dtype=np.float32)

    root = write_set(tmp_path, values, **GREY)
    low, high = np.percentile(values(6), (1, 99), axis=None if together else (0, 1))
    expected = np.clip((values(6) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(open_with(root, range="percentile").read("06").image, expected, atol=1e-5)


def test_mean_and_deviation_are_those_of_each_band(tmp_path):
    def values(number):
        return (values_of(number, 7) // np.arange(1, 8)).astype(np.uint16)

    dataset = open_with(write_set(tmp_path, values, **GREY), range="0,4000")
    facts = scan(dataset, "train")
    pixels = np.concatenate([values(int(name)).reshape(-1, 7) for name in dataset.images("train")]) / 4000
    np.testing.assert_allclose(facts.mean, pixels.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(facts.std, pixels.std(axis=0), atol=1e-6)


# What is shown -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (SENTINEL_2, (3, 2, 1)),
        (("NIR", "Red", "Green", "Blue"), (1, 2, 3)),
        (("B02", "B03", "B04", "B08"), (2, 1, 0)),
        (("VV", "VH"), (0, 1)),
        (("a", "b", "c", "d"), (0, 1, 2)),
        (tuple(f"band {number}" for number in range(1, 14)), (3, 2, 1)),  # in Sentinel-2's order
        (("HU",), (0,)),
    ],
)
def test_red_green_and_blue_are_shown_where_they_are_known_by_name(tmp_path, names, shown):
    root = write_set(tmp_path, lambda number: values_of(number, len(names), np.float32), **GREY, **described(names))
    dataset = open_with(root, range="0,4000")
    assert (dataset.bands.names, dataset.bands.display) == (names, shown)


def test_colours_that_gdal_notes_are_names_too(tmp_path):
    tags = described(("Undefined", "Blue", "Green", "Red"), role="colorinterp")
    bands = open_dataset(write_set(tmp_path, lambda number: values_of(number, 4), **GREY, **tags)).bands
    assert (bands.names, bands.display) == (("band 1", "Blue", "Green", "Red"), (3, 2, 1))


def test_the_bands_that_are_shown_can_be_chosen_by_their_number_in_the_file(tmp_path):
    root = write_set(tmp_path, lambda number: values_of(number, 6), **GREY)
    dataset = open_with(root, channels="6,5,4,2", display="4,6,2", range="0,4000")
    image = dataset.read("01").image
    np.testing.assert_array_equal(dataset.bands.picture(image), image[:, :, [2, 0, 3]])
    assert dataset.bands.text() == "4 bands: band 6, band 5, band 4, band 2; shown are band 4, band 6, band 2"
    for wrong, why in (
        ("1,2", "display names channel 1, but the channels read are 6, 5, 4, 2"),
        ("x", "must be 1 to 3"),
    ):
        with pytest.raises(DatasetError, match=why):
            open_with(root, channels="6,5,4,2", display=wrong)


def test_the_preview_shows_the_chosen_bands_exactly(tmp_path):
    root = write_set(tmp_path, lambda number: values_of(number, 5, np.uint8), **GREY)
    preview, arrays = preview_dataset(PreviewRequest(path=str(root), options={"display": "5,1,3"}))
    for at, name in enumerate(preview.shown):
        np.testing.assert_array_equal(arrays[f"image{at}"], values_of(int(name), 5, np.uint8)[:, :, [4, 0, 2]])
    assert preview.bands.display == (4, 0, 2)


def test_colours_keep_their_place_among_chosen_bands():
    bands = choose_bands(4, {"channels": "4,3,2,1"}, rgb=True, where="a.tif")
    assert (bands.names, bands.display, bands.colors) == (("band 4", "blue", "green", "red"), (3, 2, 1), (3, 2, 1))
    assert choose_bands(4, {"channels": "4,1"}, rgb=True, where="a.tif").colors == ()


# What a network sees -------------------------------------------------------------------------------------------------

LIGHT = TrainingConfig(
    encoder="tu-tf_mobilenetv3_small_minimal_100", epochs=4, batch_size=2, learning_rate=3e-3, size=(32, 32),
    precision="fp32", device="cpu",
)  # fmt: skip


def hidden(root, bands, at):
    """Images of noise with a disc that one band alone shows."""
    y, x = np.mgrid[:32, :32]
    for number in range(48):
        random = np.random.default_rng(number)
        disc = np.hypot(y - random.uniform(7, 25), x - random.uniform(7, 25)) < 6
        values = random.normal(1500, 100, (32, 32, bands)).astype(np.float32)
        values[:, :, at] += 1500 * disc
        save(root / "masks" / f"{number:02}.png", disc.astype(np.uint8))
        (root / "images").mkdir(exist_ok=True)
        tifffile.imwrite(root / "images" / f"{number:02}.tif", values, **GREY)
    return root


def sigmoid_of(dataset):
    return head_specs(dataset.kind, dataset.classes, softmax_rule="both", set_counts={})[:1]


def learnt(dataset, folder):
    """Dice on validation of a barely trained sigmoid."""
    config = LIGHT.model_copy(update={"augment": False})
    facts = scan(dataset, "train")
    rows = train_pair(
        dataset, sigmoid_of(dataset), config,
        seed=3, normalisation=(facts.mean, facts.std), folder=folder, progress=Progress(),
    )  # fmt: skip
    return [row["score"] for row in rows if row["split"] == "val"][-1]


@pytest.mark.parametrize(("bands", "at"), [(4, 3), (13, 7)])
def test_what_one_band_alone_shows_is_learnt_and_not_without_that_band(tmp_path, bands, at):
    root = hidden(tmp_path / "set", bands, at)
    others = ",".join(str(band + 1) for band in range(bands) if band != at)
    assert learnt(open_with(root, range="0,4000"), tmp_path / "with") > 0.7
    assert learnt(open_with(root, range="0,4000", channels=others), tmp_path / "without") < 0.3


def test_a_batch_is_normalised_band_by_band(tmp_path):
    dataset = open_with(write_set(tmp_path, lambda number: values_of(number, 6), **GREY), range="0,4000")
    mean, std = tuple(np.linspace(0.2, 0.7, 6)), tuple(np.linspace(0.1, 0.3, 6))
    config = LIGHT.model_copy(update={"size": None, "crop": (HEIGHT, WIDTH), "augment": False, "batch_size": 1})
    (name, *_) = dataset.images("train")
    image = dataset.read(name).image
    expected = (image.astype(np.float64) - mean) / std
    batches = training_batches(dataset, sigmoid_of(dataset), config, seed=0, normalisation=(mean, std), multiple=8)
    seen = [batch.images[0].numpy() for batch, _ in zip(batches, dataset.images("train"), strict=False)]
    nearest = min(np.abs(one - np.moveaxis(expected, 2, 0)).max() for one in seen)
    assert nearest < 1e-4
    np.testing.assert_allclose(
        normalise([dataset.read(name)], (mean, std))[0].numpy(), np.moveaxis(expected, 2, 0), atol=1e-4
    )


def test_brightness_changes_for_colours_alone_and_for_all_of_them_alike():
    bands = Bands(names=("red", "green", "blue", "nir"), display=(0, 1, 2), colors=(0, 1, 2))
    image = np.full((64, 64, 4), 0.4, np.float32)
    item = Item("a", image, np.ones((1, 64, 64), np.bool_), np.ones((64, 64), np.bool_))
    augment = Augmentation(crop=None, augment=True, mean=(0.0,) * 4, std=(1.0,) * 4, bands=bands)
    seen = np.array([augment(item, key=key).image[:, 20:44, 20:44].mean(dim=(1, 2)).numpy() for key in range(12)])
    assert np.abs(seen[:, 3] - 0.4).max() < 0.005  # noise of 0.02 over 576 pixels
    assert np.abs(seen[:, 0] - 0.4).max() > 0.03
    assert np.abs(seen[:, :3] - seen[:, :1]).max() < 0.01


def test_flips_and_turns_move_every_band_alike():
    image = np.random.default_rng(0).random((40, 40, 1), np.float32).repeat(7, axis=2)
    item = Item("a", image, np.ones((1, 40, 40), np.bool_), np.ones((40, 40), np.bool_))
    bands = Bands(names=tuple("abcdefg"), display=(0,))
    augment = Augmentation(crop=(32, 32), augment=True, mean=(0.0,) * 7, std=(1.0,) * 7, bands=bands)
    for key in range(5):
        moved = augment(item, key=key).image
        assert (moved - moved[:1]).abs().mean() < 0.05  # noise alone: those of the image differ by 0.33
        assert not torch.equal(moved[0], torch.from_numpy(image[4:36, 4:36, 0]))


# What is kept of them ------------------------------------------------------------------------------------------------


def saved(folder, bands):
    """A pair for such images, as a training leaves it."""
    specs = head_specs("binary", ("thing",), softmax_rule="both", set_counts={})
    for head, network in build_pair(specs, LIGHT, seed=0, bands=bands.count).items():
        spec = next(spec for spec in specs if spec.head == head)
        save_model(
            network, spec, folder / f"head={head}", normalisation=((0.5,) * bands.count, (0.1,) * bands.count),
            config=LIGHT, seed=0, best_epoch=1, best_score=None, bands=bands,
        )  # fmt: skip
    return folder


def test_a_network_is_kept_with_its_bands_and_refuses_images_of_other_bands(tmp_path):
    bands = Bands(names=("T1", "T2", "FLAIR", "T1c"), display=(0, 1, 2))
    folder = saved(tmp_path, bands)
    network, head = load_model(folder / "head=softmax")
    assert head.bands == bands
    assert network(torch.zeros(1, 4, 32, 32)).shape == (1, 2, 32, 32)
    assert set(load_pair(folder, kind="binary", classes=("thing",), bands=bands)) == {0}
    with pytest.raises(ModelError, match=r"takes 4 bands \(T1, T2, FLAIR, T1c\), the images of the data set have 3"):
        load_pair(folder, kind="binary", classes=("thing",))


def test_a_network_of_before_bands_were_kept_takes_red_green_and_blue(tmp_path):
    file = saved(tmp_path, RGB) / "head=sigmoid" / "head.json"
    values = json.loads(file.read_text())
    del values["bands"], values["checksum"]
    assert HeadFile.model_validate(values).bands == RGB
    with pytest.raises(ValueError, match="3 bands, but 2 means"):
        HeadFile.model_validate(values | {"mean": [0.5, 0.5]})
