"""What is added as one entry, as docs/architecture.md shows it; losses are in test_losses, formats in test_reading."""

import re
import shutil

import numpy as np
import pytest
from opening import APP
from places import REPO
from streamlit.testing.v1 import AppTest
from synthetic import make_run

from dashboard import menu, queries
from pipelines.metrics import METRICS, Metric, segmentation
from pipelines.metrics.segmentation import OUTCOMES
from pipelines.schema import DIFFERENCE


def f2(terms, _setting):
    """(1 + 2²) TP / (5 TP + 4 FN + FP)."""
    tp, fp, fn = terms[..., 0], terms[..., 1], terms[..., 2]
    return np.divide(5 * tp, 5 * tp + 4 * fn + fp, out=np.full(tp.shape, np.nan), where=5 * tp + 4 * fn + fp > 0)


def test_a_new_metric_is_one_entry(tmp_path, monkeypatch):
    entry = Metric("f2", "F2", better="higher", description="Recall counts twice.", source=OUTCOMES, value=f2)
    monkeypatch.setattr(segmentation, "METRICS", (*segmentation.METRICS, entry))
    monkeypatch.setitem(METRICS, "f2", entry)  # what the registry makes of the line above
    run = make_run(tmp_path, "made", kind="overlapping", classes=("a", "b"))
    rows = run.estimates(metric=("f2", "precision", "recall"), head="sigmoid", class_="a").set_index("metric")
    p, r = rows.loc["precision", "value"], rows.loc["recall", "value"]
    assert rows.loc["f2", "value"] == pytest.approx(5 * p * r / (4 * p + r))  # the usual form
    assert rows.loc["f2", "low"] < rows.loc["f2", "value"] < rows.loc["f2", "high"]
    assert not run.estimates(metric="f2", head=DIFFERENCE).empty
    assert "f2" in queries.scores.label_scores()  # which Accuracy lets choose


def test_a_new_page_is_a_script_and_a_line(tmp_path, monkeypatch):
    make_run(tmp_path / "runs", "made", kind="binary", classes=("thing",), images=2)
    here = tmp_path / "dashboard"
    here.mkdir()
    for name in ("app.py", "icon.png"):
        shutil.copy(APP.with_name(name), here)
    shutil.copytree(APP.with_name("app_pages"), here / "app_pages")
    (here / "app_pages" / "costs.py").write_text(
        "import streamlit as st\nfrom dashboard import state\nst.title(f'Costs of {state.current_run().name}')\n"
    )
    monkeypatch.setitem(menu.PAGES, "costs", menu.Page("Costs", "payments", evidence=True))
    monkeypatch.setenv(queries.runs.RUNS_VARIABLE, str(tmp_path / "runs"))
    queries.runs.forget_runs()
    at = AppTest.from_file(str(here / "app.py"), default_timeout=60).run()
    at.switch_page(menu.script("costs")).run()
    assert not at.exception
    assert [title.value for title in at.title] == ["Costs of made"]


def test_the_page_on_architecture_shows_these_four():
    added = re.findall(r"^\+ +(.*)$", (REPO / "docs" / "architecture.md").read_text(), re.MULTILINE)
    assert [re.match(r'"?(\w+)', line)[1] for line in added] == ["tversky", "Metric", "costs", "zarr"]
