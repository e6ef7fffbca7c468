"""The page "Overlap": rates, numbers of labels, pairs and maps, against the pixels they were counted from."""

import json
from itertools import combinations

import numpy as np
import opening
import pandas as pd
import plotly.graph_objects as go
import pytest
from scipy.special import expit

from dashboard import queries
from dashboard.displays import overlap as panels
from dashboard.displays.base import Selection
from dashboard.displays.overlap import expected_figure, mass_figure
from dashboard.queries.images import label_codes
from dashboard.theme import DARK, LIGHT
from pipelines.metrics import overlap
from pipelines.store.runs import open_run

WHERE = ("test", (0,))


@pytest.fixture(scope="module")
def cells(real_runs):
    return open_run(real_runs, "cells")


@pytest.fixture(scope="module")
def landcover(real_runs):
    return open_run(real_runs, "landcover")


@pytest.fixture
def page(monkeypatch, real_runs):
    """Opens the page on a run, as a link would."""

    def open_page(run, **query):
        return opening.open_page(monkeypatch, real_runs, "overlap", run=run, **query)

    return open_page


def pixels_of(run, head):
    """Of all valid test pixels of seed 0: p (C, N) float64 and truth (C, N) bool."""
    with run.predictions("test", head, 0) as reader:
        images = [reader.read(name) for name in reader.images]
    p = np.concatenate([expit(one.log_odds.astype(np.float64))[:, one.valid] for one in images], axis=1)
    return p, np.concatenate([one.truth[:, one.valid] for one in images], axis=1)


def test_all_images_as_one_give_the_same_tables(cells):
    every = queries.counts.counts(cells, "test", "sigmoid", (0, 1), "raw")
    whole = queries.counts.whole_counts(cells, "test", "sigmoid", (0, 1), "raw")
    assert whole.images == ("all images",)
    names = cells.dataset["classes"]
    for make in (
        lambda counts: overlap.predicted_labels(counts, threshold=0.3, region="boundary"),
        lambda counts: overlap.pair_overlap(counts, classes=names, threshold=0.7),
    ):
        pd.testing.assert_frame_equal(make(every), make(whole))


def test_mass_is_the_mean_probability_of_each_number_of_labels(cells):
    panel = panels.mass(Selection(cells, *WHERE), LIGHT, threshold=0.4)
    shares = panel.table.pivot_table(index="row", columns="labels", values="share")
    p, truth = pixels_of(cells, "sigmoid")
    none = np.prod(1 - p, axis=0)
    one = sum(p[c] * np.prod(np.delete(1 - p, c, axis=0), axis=0) for c in range(3))
    expected = [none.mean(), one.mean(), (1 - none - one).mean()]
    # Counting holds the odds in float32.
    assert shares.loc["Sigmoid, expected"].tolist() == pytest.approx(expected, abs=1e-5)
    for row, labels in (("Truth", truth.sum(axis=0)), ("Sigmoid, decided", (p > 0.4).sum(axis=0))):
        counted = [(labels == 0).mean(), (labels == 1).mean(), (labels >= 2).mean()]
        assert shares.loc[row].tolist() == pytest.approx(counted, abs=1e-12), row
    assert shares.loc["Softmax, expected", "2+"] == pytest.approx(0, abs=1e-6)
    assert (shares.sum(axis=1) - 1).abs().max() < 1e-9


def test_an_exclusive_softmax_expects_exactly_one_label(landcover):
    shares = panels.mass(Selection(landcover, *WHERE), LIGHT).table.pivot_table(
        index="row", columns="labels", values="share"
    )
    assert shares.loc["Truth"].tolist() == [0, 1, 0]
    assert shares.loc["Softmax, expected"].tolist() == pytest.approx([0, 1, 0])


def test_mass_is_stacked_from_no_label_up():
    table = pd.DataFrame({"row": ["Truth"] * 3, "labels": ["0", "1", "2+"], "share": [0.5, 0.3, 0.2]})
    figure = mass_figure(table, DARK)
    assert [(one.name, list(one.x)) for one in figure.data] == [
        ("no label", [0.5]), ("1 label", [0.3]), ("2 labels or more", [0.2])
    ]  # fmt: skip
    assert figure.layout.barmode == "stack"


def test_expected_overlap_is_the_product_of_the_probabilities_within_its_bounds(cells):
    table = panels.expected(Selection(cells, *WHERE), LIGHT, threshold=0.3).table
    names = cells.dataset["classes"]
    for head in cells.heads:
        p, truth = pixels_of(cells, head)
        for a, b in combinations(range(3), 2):
            row = table[(table["head"] == head) & (table["pair"] == f"{names[a]} + {names[b]}")].iloc[0]
            assert row["independent"] == pytest.approx((p[a] * p[b]).mean(), abs=1e-8)
            assert row["lowest"] == pytest.approx(np.maximum(0, p[a] + p[b] - 1).mean(), abs=1e-8)
            assert row["highest"] == pytest.approx(np.minimum(p[a], p[b]).mean(), abs=1e-8)
            assert row["observed"] == pytest.approx((truth[a] & truth[b]).mean(), abs=1e-12)
            assert row["predicted"] == pytest.approx(((p[a] > 0.3) & (p[b] > 0.3)).mean(), abs=1e-12)


def test_pairs_with_most_overlap_come_first_and_the_others_stay_in_the_table(cells):
    panel = panels.expected(Selection(cells, *WHERE), LIGHT, most=1)
    largest = panel.table[["observed", "independent", "predicted"]].max(axis=1).groupby(panel.table["pair"]).max()
    assert panel.table["pair"].iloc[0] == largest.idxmax()
    assert list(panel.pictures[0].figure.layout.yaxis.ticktext) == [largest.idxmax()]
    assert panel.table["pair"].nunique() == 3


def test_truth_that_cannot_overlap_has_no_expected_overlap(landcover, real_runs):
    assert panels.expected(Selection(landcover, *WHERE), LIGHT) is None
    vessels = open_run(real_runs, "vessels")
    assert panels.expected(Selection(vessels, *WHERE), LIGHT) is None
    assert panels.pairs(Selection(vessels, *WHERE), LIGHT) is None


def test_dumbbells_run_from_expected_to_decided_beside_the_truth():
    table = pd.DataFrame(
        {
            "pair": ["a + b", "a + b"], "head": ["sigmoid", "softmax"], "lowest": [0.0, 0.01], "highest": [0.2, 0.3],
            "independent": [0.05, 0.06], "predicted": [0.1, 0.02], "observed": [0.09, 0.09],
        }
    )  # fmt: skip
    figure = expected_figure(table, LIGHT, threshold=0.5)
    named = {one.name: one for one in figure.data if one.name}
    assert list(named["truth"].x) == [0.09, 0.09, None]
    assert "decided at p > 0.50" in named
    bounds, link, hollow, filled = figure.data[:4]
    assert (list(bounds.x), list(link.x)) == ([0.0, 0.2, None], [0.05, 0.1, None])
    assert (list(hollow.x), hollow.marker.color) == ([0.05], LIGHT.surface)
    assert (list(filled.x), filled.marker.color) == ([0.1], LIGHT.heads["sigmoid"])
    below, above = named["truth"].y[:2]
    assert below < filled.y[0] < figure.data[7].y[0] < above


def test_every_figure_of_the_page_is_one_that_plotly_takes(cells, landcover):
    # Figures are not validated when they are made; here they are.
    for run in (cells, landcover):
        made = [
            make(Selection(run, *WHERE), LIGHT)
            for make in (panels.rates, panels.predicted_labels, panels.mass, panels.expected, panels.pairs)
        ]
        for picture in (one for panel in made if panel is not None for one in panel.pictures):
            assert go.Figure(json.loads(picture.figure.to_json())).data


def test_rates_say_what_each_head_gives_at_the_threshold(cells):
    panel = panels.rates(Selection(cells, *WHERE), LIGHT, threshold=0.3)
    p, truth = pixels_of(cells, "sigmoid")
    rows = panel.table[(panel.table["head"] == "sigmoid") & (panel.table["threshold"].sub(0.3).abs() < 1e-9)]
    values = rows.set_index("rate")["value"]
    assert values["overlap"] == pytest.approx(((p > 0.3).sum(axis=0) >= 2).mean())
    assert values["no label"] == pytest.approx(((p > 0.3).sum(axis=0) == 0).mean())
    assert rows.set_index("rate")["truth"]["overlap"] == pytest.approx((truth.sum(axis=0) >= 2).mean())
    assert all(picture.figure.layout.shapes[0].x0 == 0.3 for picture in panel.pictures)


@pytest.mark.parametrize("which", ["several", "none"])
def test_worst_images_have_most_wrong_pixels(cells, which):
    found = queries.images.worst_images(cells, "test", "sigmoid", 1, 0.6, which, 3)
    wrong = {}
    with cells.predictions("test", "sigmoid", 1) as reader:
        for name in reader.images:
            one = reader.read(name)
            given, true = (expit(one.log_odds.astype(np.float64)) > 0.6).sum(axis=0), one.truth.sum(axis=0)
            bad = (given >= 2) & (true < 2) if which == "several" else (given == 0) & (true > 0)
            wrong[name] = int((bad & one.valid).sum())
    assert [one.pixels for one in found] == sorted(wrong.values(), reverse=True)[: len(found)]
    assert [wrong[one.image] for one in found] == [one.pixels for one in found]
    assert all(one.share == one.pixels / (64 * 64) for one in found)


def test_images_without_such_a_pixel_are_left_out(cells):
    # At p > 0.98 a softmax cannot give two labels.
    assert queries.images.worst_images(cells, "test", "softmax", 0, 0.98, "several", 3) == []


def test_codes_tell_wrong_from_right_and_leave_ignored_pixels_out():
    # Pixels: two given of none, two given of two, none given of one, none of none, and, ignored, two given of none.
    truth = np.array([[[0, 1, 1, 0, 0]], [[0, 1, 0, 0, 0]]], bool)
    above = np.array([[[1, 1, 0, 0, 1]], [[1, 1, 0, 0, 1]]], bool)
    valid = np.array([[True, True, True, True, False]])
    assert label_codes(truth, above, valid, "several").tolist() == [[1, 2, 0, 0, 0]]
    assert label_codes(truth, above, valid, "none").tolist() == [[0, 0, 1, 0, 0]]


def test_link_opens_threshold_and_maps(page):
    at = page("cells", threshold="0.3", maps="No label, the truth has one")
    assert not at.exception
    assert not at.error
    assert at.slider(key="threshold").value == 0.3
    assert any("at p > 0.30" in one.value for one in at.header)
    assert at.segmented_control(key="maps").value == "none"


def test_maps_lead_to_their_image_and_seed(page):
    at = page("cells", seed="1")
    assert not at.exception
    links = [one.proto.query_string for one in at.get("page_link") if one.proto.label == "Open the image"]
    assert links
    assert all("pair=1" in one and "image=test_" in one for one in links)


def test_page_of_one_class_has_no_pairs_and_marks_what_is_missing(page):
    at = page("vessels")
    assert not at.exception
    assert not any(one.value == "Which classes share pixels" for one in at.header)
    assert not [one for one in at.segmented_control if one.key == "maps"]
