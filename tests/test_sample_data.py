"""The sample data sets are what their script draws, small, sound, and their probabilities are true."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets.check import check_dataset
from pipelines.datasets.opening import open_dataset
from sample_data import generate
from sample_data.drawing import smooth_normal, uniform_field

HERE = Path(generate.__file__).parent
NAMES = sorted(generate.TOML)


@pytest.mark.parametrize("name", NAMES)
def test_drawing_twice_gives_the_same_bytes(tmp_path, name):
    counts = {"train": 2, "val": 0, "test": 2}
    for attempt in ("one", "two"):
        generate.write(name, tmp_path / attempt, counts=counts)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) >= 12
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_in_the_repository_is_what_the_script_draws(name):
    # Pixels rather than bytes: another version of the PNG or JPEG library may pack them differently.
    dataset = open_dataset(HERE / name)
    for sample in generate.samples(name, "test", 2):
        item = dataset.read(sample.name)
        assert np.abs(item.image * 255 - sample.image).mean() < 4  # JPEG at quality 90
        drawn = [values for where, values in sample.layers.items() if where.startswith("masks/")]
        if name == "landcover":
            expected = np.stack([drawn[0] == index for index in range(len(dataset.classes))])
            assert np.array_equal(item.valid, drawn[0] != 255)
        else:
            expected = np.stack(drawn) > 0
        assert np.mean(item.truth == expected) > 0.9999  # the last bit of exp may differ between processors


@pytest.mark.parametrize("name", NAMES)
def test_each_set_is_sound_and_complete(name):
    report = check_dataset(open_dataset(HERE / name))
    assert report.findings == ()
    assert [one.images for one in report.splits] == [60, 20, 40]
    assert report.sizes == ((128, 128, 120),)


def test_the_sets_are_small_enough_for_git():
    assert sum(path.stat().st_size for name in NAMES for path in (HERE / name).rglob("*") if path.is_file()) < 4_500_000


def test_landcover_has_rare_classes_and_groups_that_do_not_cross_splits():
    report = check_dataset(open_dataset(HERE / "landcover"))
    shares = {one.name: one.share for one in report.class_facts}
    assert report.exclusive
    assert 0.001 < shares["building"] < 0.02
    assert shares["road"] < 0.03
    assert 0 < report.ignored_share < 0.05
    assert [one.groups for one in report.splits] == [30, 10, 20]


def test_cells_have_nested_and_partial_overlap():
    report = check_dataset(open_dataset(HERE / "cells"))
    nested = {(one.inner, one.outer) for one in report.nested}
    assert nested == {("nucleus", "cell")}
    (crossing,) = [one for one in report.pairs if {one.first, one.second} == {"cell", "fibre"}]
    assert 0.1 < crossing.share_of_second < 0.5
    assert report.ceiling_macro_dice < 0.97


def test_smooth_fields_are_standard_normal_at_every_pixel():
    # 4,000 fields: the deviation of a variance estimate is sqrt(2 / 4000) = 0.022, of a mean 0.016.
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_normal(rng, (12, 12), 3.0) for _ in range(4000)])
    assert np.abs(fields.mean(axis=0)).max() < 5 * 0.016
    assert np.abs(fields.var(axis=0) - 1).max() < 5 * 0.022


def test_uniform_fields_lie_below_p_with_probability_p():
    # 3,000 fields, one pixel each side of smooth: standard error of a share is at most 0.5 / sqrt(3000) = 0.0091.
    rng = np.random.default_rng(1)
    fields = np.stack([uniform_field(rng, (16, 16), scales=((2.0, 0.3), (6.0, 0.7)))[4, 9] for _ in range(3000)])
    for p in (0.1, 0.35, 0.5, 0.9):
        assert abs((fields < p).mean() - p) < 4 * 0.0091


@pytest.fixture(scope="module")
def cells():
    """Truth and probabilities of the cells set, each (pairs of images, 2, classes, H, W)."""
    dataset = open_dataset(HERE / "cells")
    names = [name for split in ("train", "val", "test") for name in dataset.images(split)]
    truth = np.stack([dataset.read(name).truth for name in names])
    probs = np.stack([dataset.probabilities(name) for name in names])
    return truth.reshape(60, 2, *truth.shape[1:]), probs.reshape(60, 2, *probs.shape[1:])


def test_labels_occur_as_often_as_their_probabilities_say(cells):
    # Pixels of an image, and the two images of a pair, share an annotator's hand: pairs are the independent units.
    truth, probs = cells
    excess = (truth - probs).mean(axis=(1, 3, 4), dtype=np.float64)  # (pairs, classes)
    error = excess.std(axis=0, ddof=1) / np.sqrt(len(excess))
    assert (np.abs(excess.mean(axis=0)) < 3 * error).all()
    assert (error < 0.003).all()  # so that the line above could fail


def test_labels_are_calibrated_in_every_tenth_of_probability(cells):
    truth, probs = cells
    for index in range(3):
        p, y = probs[:, :, index], truth[:, :, index]
        for tenth in range(10):
            chosen = (p > tenth / 10) & (p <= (tenth + 1) / 10)
            excess = np.where(chosen, y - p, 0).sum(axis=(1, 2, 3), dtype=np.float64)
            pixels = chosen.sum(axis=(1, 2, 3))
            ratio = excess.sum() / pixels.sum()
            error = np.sqrt(((excess - ratio * pixels) ** 2).sum()) / pixels.sum()  # of a ratio of sums over pairs
            assert abs(ratio) < 3.5 * error  # 30 looks: one of them beyond 3.5 has probability 0.014
            assert abs(ratio) < 0.03


def test_where_p_is_0_or_1_the_label_is_certain(cells):
    truth, probs = cells
    assert not truth[probs == 0].any()
    assert truth[probs == 1].all()
    assert (probs[:, :, 1] <= probs[:, :, 0]).all()  # nucleus within cell
    assert not (truth[:, :, 1] & ~truth[:, :, 0]).any()


def test_no_network_can_be_perfect_because_borders_are_doubtful(cells):
    # Even the true p, cut at one half, misses the labels: Dice lies well inside (0.7, 0.95).
    truth, probs = cells
    for index in range(3):
        called, y = probs[:, :, index] > 0.5, truth[:, :, index]
        assert 0.7 < 2 * (called & y).sum() / (called.sum() + y.sum()) < 0.95
