"""Classes that no pixel of a split carries: pages and report say so in words, and draw no score or tuned threshold."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from opening import open_page
from synthetic import make_run

from dashboard import rounding as written
from dashboard.displays import accuracy, base, calibration
from dashboard.displays.base import Selection
from dashboard.displays.threshold_choice import Look, choices
from dashboard.queries.counts import absent_classes
from dashboard.report.contents import report_of
from dashboard.report.files import html_bytes
from dashboard.theme import LIGHT
from pipelines import sentences

NAN = re.compile(r"(?<![a-z])[+−-]?(nan|inf)(?![a-z])", re.IGNORECASE)
UNTUNED = "No pixel of val carries b, so its threshold could not be tuned and stays at 0.5."


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("absent")
    make_run(folder, "none", kind="binary", classes=("lesion",), images=3, absent={"test": ("lesion",)})
    gone = {"val": ("b",), "test": ("a",)}
    make_run(folder, "some", kind="overlapping", classes=("a", "b", "c"), images=3, absent=gone)
    return folder


@pytest.fixture(scope="module")
def some(runs):
    from pipelines.store.runs import open_run

    return open_run(runs, "some")


def texts(at):
    found = [one.value for kind in ("caption", "info", "error", "markdown") for one in getattr(at, kind)]
    found += [unescape(re.sub(r"<style.*?</style>|<[^>]+>", " ", one.body)) for one in at.get("html")]
    found += [one.proto.alt for one in at.get("plotly_chart")]
    return [one.replace("\\", "") for one in found]


def test_sentences_name_the_class_and_the_split():
    assert sentences.no_value("Dice", "lesion", "test") == "no pixel of test carries lesion, so Dice has no value"
    assert sentences.not_tuned(["b"], "val") == (
        "no pixel of val carries b, so its threshold could not be tuned and stays at 0.5"
    )
    assert sentences.not_tuned(["a", "b", "c"], "val").startswith(
        "no pixel of val carries a, b or c, so their thresholds could not be tuned and stay"
    )


def test_absent_classes_are_those_without_a_true_pixel(some):
    assert absent_classes(some, "test") == ("a",)
    assert absent_classes(some, "val") == ("b",)
    assert base.why_no_value(some, "test", "IoU", "a") == "No pixel of test carries a, so IoU has no value."
    assert base.why_no_value(some, "test", "IoU", "b") == ""
    assert base.why_no_value(some, "test", "IoU") == "", "the mean of b and c has a value"
    assert base.untuned_note(some) == UNTUNED
    assert base.untuned_note(some, "c") == ""


def test_half_is_not_called_a_tuned_threshold(some):
    table = choices(Look(some, "test", (0,), "softmax")).set_index(["class", "head"])
    assert set(table.index.get_level_values("class")) == {"b", "c"}  # a has no truth here
    assert table.loc["b", ["tuned", "dice_tuned"]].isna().all().all()
    assert table.loc["c", ["tuned", "dice_tuned"]].notna().all().all()


def test_a_class_without_truth_has_no_row_of_scores(some):
    shown = Selection(some, "test", (0,), "softmax", metric="dice")
    assert set(accuracy.by_class(shown, LIGHT).table["class"]) == {"macro", "b", "c"}
    assert set(accuracy.spread_of_images(shown, LIGHT).table["class"]) == {"b", "c"}
    # Where the class is not, everything that is not called it is right: that has a value.
    assert "a" in set(accuracy.by_class(replace(shown, metric="specificity"), LIGHT).table["class"])


@pytest.mark.parametrize("page", ["accuracy", "calibration", "confusion", "thresholds", "losses", "runs"])
def test_pages_say_why_nothing_has_a_value(monkeypatch, runs, page):
    said = texts(open_page(monkeypatch, runs, page, run="none"))
    assert any("No pixel of test carries lesion" in one for one in said)
    assert not [one for one in said if NAN.search(one)]


def test_the_thresholds_page_names_what_could_not_be_tuned(monkeypatch, runs):
    said = texts(open_page(monkeypatch, runs, "thresholds", run="some"))
    assert any(one.startswith(UNTUNED) for one in said)
    assert any(one.startswith("No pixel of test carries a, so scores") for one in said)


def test_the_verdict_draws_no_difference_of_nothing(monkeypatch, runs):
    at = open_page(monkeypatch, runs, "verdict", run="none")
    assert any("No pixel of test carries lesion" in one.value for one in at.info)
    assert not [one for one in at.get("bidi_component") if one.proto.component_name == "forest_plot"]


def test_the_report_says_it_too(runs, some):
    text = html_bytes(some, report_of(some)).decode()
    assert text.count("No pixel of test carries a, so scores") == 5  # verdict and four chapters of scores
    assert text.count(UNTUNED) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, None])
def test_no_formatter_prints_nan(value):
    assert written.with_interval(value, 0.1, 0.2) == written.NO_VALUE
    assert written.with_interval(0.25, value, 0.5, signed=True) == "+0.250"
    assert written.percent(value) == written.rounded(value) == written.count(value) == written.NO_VALUE
    if value is not None:
        assert sentences.signed(value, 3) == sentences.bracketed(value, 0.0, 1.0, 2) == "no value"
        assert sentences.bracketed(0.5, value, 1.0, 2, unit="%") == "0.50%"


def test_bins_without_a_pixel_have_no_calibration_error():
    empty = {"share": [0.0, 0.0], "observed": [np.nan, np.nan], "mean_p": [np.nan, np.nan]}
    assert np.isnan(calibration.calibration_error(empty))
    # 0.25·|0 − 0.1| + 0.75·|0.9 − 0.5| = 0.325
    assert calibration.calibration_error(
        {"share": [0.25, 0.75], "observed": [0.0, 0.9], "mean_p": [0.1, 0.5]}
    ) == pytest.approx(0.325)
