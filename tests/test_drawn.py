"""Figures reach the browser as Plotly itself would write them, whether anybody looked into them or not."""

import base64
import copy
import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dashboard.charts import Drawn, axis, figure_of, layout
from dashboard.theme import LIGHT

CONTENT = {
    "data": [
        {"type": "scatter", "x": np.array([1.5, np.nan]), "y": np.array([3, 400]), "name": "a"},
        {"type": "scatter", "x": pd.Series([0.25, 1.0]), "y": pd.Series(["a", "b"]), "customdata": [["a"], ["b"]]},
        {"type": "bar", "x": np.float32([0.1]), "y": [2], "marker": {"color": ["#000"], "opacity": np.float64(0.5)}},
        {"type": "heatmap", "z": np.arange(6.0).reshape(2, 3), "text": np.array([["a"] * 3] * 2, dtype=object)},
        {"type": "scatter", "x": np.array([], np.int64), "y": np.array([2**40]), "visible": True},
    ],
    "layout": layout(
        LIGHT, height=300, title="t", shapes=[{"type": "line", "x0": 0, "x1": 1, "y0": 0, "y1": 1}],
        xaxis=axis(LIGHT, range=np.array([0.0, 1.0]), tickvals=np.array([0, 1])), yaxis=axis(LIGHT, title="y"),
    ),
}  # fmt: skip


def sent(figure):
    """What Streamlit writes for the browser."""
    return json.loads(plotly.io.to_json(figure.to_dict(), validate=False))


def decoded(value):
    """Arrays in base64 as lists of numbers, so that the width of whole numbers does not count."""
    if isinstance(value, dict) and "bdata" in value:
        array = np.frombuffer(base64.b64decode(value["bdata"]), np.dtype(f"<{value['dtype']}"))
        shape = [int(one) for one in value["shape"].split(",")] if "shape" in value else [-1]
        return np.where(np.isnan(array), None, array).reshape(shape).tolist()
    if isinstance(value, dict):
        return {key: decoded(one) for key, one in value.items()}
    return [decoded(one) for one in value] if isinstance(value, list) else value


def test_a_figure_nobody_looked_into_is_sent_as_plotly_writes_it(monkeypatch):
    monkeypatch.delenv("VALIDATE_FIGURES", raising=False)
    before = copy.deepcopy(CONTENT)
    figure = figure_of(CONTENT)
    assert "_data" not in vars(figure)  # not taken apart
    assert decoded(sent(figure)) == decoded(sent(go.Figure(CONTENT)))
    assert json.dumps(decoded(before["layout"]), default=str) == json.dumps(decoded(CONTENT["layout"]), default=str)


def test_looking_into_a_figure_changes_nothing_of_it(monkeypatch):
    monkeypatch.delenv("VALIDATE_FIGURES", raising=False)
    figure = figure_of(CONTENT)
    untouched = decoded(sent(figure))
    assert figure.data[0].name == "a"
    assert figure.layout.height == 300
    assert decoded(sent(figure)) == untouched
    figure.update_layout(height=200)
    assert figure.layout.height == 200
    assert sent(figure)["layout"]["height"] == 200


@pytest.mark.parametrize("looked", [False, True])
def test_more_of_a_layout_is_added_to_what_is_there(monkeypatch, looked):
    monkeypatch.delenv("VALIDATE_FIGURES", raising=False)
    figure = figure_of(CONTENT)
    if looked:
        assert len(figure.data) == 5
    more = figure.with_layout(meta=3, xaxis={"autorange": False})
    content = sent(more)["layout"]
    assert content["meta"] == 3
    assert content["xaxis"]["autorange"] is False
    assert content["xaxis"]["gridcolor"] == LIGHT.line
    assert content["height"] == 300
    assert "autorange" not in CONTENT["layout"]["xaxis"]


def test_where_figures_are_checked_a_wrong_property_is_refused():
    with pytest.raises(ValueError, match="widht"):
        Drawn({"data": [{"type": "scatter", "line": {"widht": 2}}], "layout": {}}, _validate=True)


def test_a_figure_can_be_copied_before_and_after_it_was_looked_into(monkeypatch):
    monkeypatch.delenv("VALIDATE_FIGURES", raising=False)
    figure = figure_of(CONTENT)
    assert decoded(sent(copy.deepcopy(figure))) == decoded(sent(figure))


@given(
    arrays.arrays(
        st.sampled_from(["int8", "uint8", "int16", "int32", "int64", "uint64", "float32", "float64"]),
        arrays.array_shapes(min_dims=1, max_dims=2, max_side=4),
    )
)
def test_arrays_of_numbers_keep_their_values(values):
    trace = {"type": "heatmap" if values.ndim == 2 else "scatter", "z" if values.ndim == 2 else "y": values}
    content = {"data": [trace], "layout": {"template": {}}}
    ours, theirs = sent(Drawn(content, _validate=False)), sent(go.Figure(content))
    assert decoded(ours["data"]) == decoded(theirs["data"])
