"""What the viewer in the browser is sent, and that its files keep their promises."""

import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dashboard.viewer
from dashboard import queries
from dashboard.viewer import payload
from pipelines import heads
from pipelines.errors import RunError
from pipelines.store.runs import open_run

PARTS = Path(dashboard.viewer.__file__).parent / "parts"
EVERY_VALUE = np.arange(65536, dtype=np.uint16).view(np.float16)


@pytest.fixture(scope="module")
def runs(real_runs):
    return {"exclusive": open_run(real_runs, "landcover"), "overlapping": open_run(real_runs, "cells")}


@pytest.fixture
def image(runs):
    """The second test image of each run."""
    return {kind: run.image_scores().query("split == 'test'")["image"].iloc[1] for kind, run in runs.items()}


def bits(part, classes, height, width):
    planes = np.frombuffer(zlib.decompress(part), np.uint8).reshape(classes + 1, -1)
    flags = np.unpackbits(planes, axis=1)[:, : height * width].reshape(-1, height, width).astype(bool)
    return flags[:-1], flags[-1]


@pytest.mark.parametrize("step", range(1, 50))
def test_every_log_odds_there_can_be_lies_on_the_same_side_of_a_threshold_as_its_code(step):
    threshold = 0.02 * step  # as the slider goes
    edge = int(np.abs(payload.EDGES - threshold).argmin())
    assert payload.EDGES[edge] == pytest.approx(threshold, abs=1e-12)
    numbers = EVERY_VALUE[~np.isnan(EVERY_VALUE)]
    decided = heads.decide(numbers[None], rule="threshold", thresholds=float(payload.EDGES[edge]))[0]
    assert ((payload.codes(numbers) > edge) == decided).all()


def test_codes_grow_with_p_and_fit_a_byte():
    numbers = np.sort(EVERY_VALUE[np.isfinite(EVERY_VALUE)])
    codes = payload.codes(numbers)
    assert (np.diff(codes.astype(int)) >= 0).all()
    assert codes[0] == 0
    assert codes[-1] == len(payload.EDGES) < 256
    # p = 0.5 is not above 0.5: it lies below the edge, like p = t everywhere.
    assert payload.EDGES[payload.codes(np.zeros(1, np.float16))[0]] == 0.5


def test_a_code_tells_p_to_half_a_percent():
    numbers = EVERY_VALUE[np.isfinite(EVERY_VALUE)]
    p = 1 / (1 + np.exp(-np.clip(numbers.astype(np.float64), -700, None)))
    codes = payload.codes(numbers)
    edges = np.concatenate([[0.0], payload.EDGES, [1.0]])
    assert (p <= edges[codes + 1] + 1e-12).all()
    assert (p >= edges[codes] - 1e-12).all()
    assert np.diff(edges).max() <= 0.005 + 1e-12


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.text(max_size=6).filter(lambda name: name != "parts"), st.text() | st.integers() | st.none()),
    st.lists(st.binary(max_size=30), max_size=4),
)
def test_blocks_come_back_as_they_went(header, parts):
    said, back = payload.unpack(payload.pack(header, parts))
    assert back == parts
    assert said == header | {"parts": [len(part) for part in parts]}


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False))
def test_truth_of_any_shape_comes_back_from_its_bits(classes, height, width, random):
    rng = np.random.default_rng(random.randrange(2**32))
    truth, valid = rng.random((classes, height, width)) < 0.4, rng.random((height, width)) < 0.7
    back, back_valid = bits(payload.truth_part(truth, valid), classes, height, width)
    assert (back == truth).all()
    assert (back_valid == valid).all()


def test_big_images_are_thinned_until_they_fit():
    assert payload.step_of(11, 360, 480) == 1
    # 19 classes of 1024 × 2048: 39.8 million codes are 4.98 times too many; sqrt(4.98) = 2.23, so every third.
    step = payload.step_of(19, 1024, 2048)
    assert step == 3
    assert 19 * -(-1024 // step) * -(-2048 // step) <= payload.MOST_CODES


@pytest.mark.parametrize("kind", ["exclusive", "overlapping"])
def test_a_block_holds_what_the_run_stores(runs, image, kind):
    run, image = runs[kind], image[kind]
    shown = ("sigmoid", "softmax")
    block = queries.images.viewer_block(run, "test", shown, 0, image)
    header, parts = payload.unpack(block.seen)
    assert (header["width"], header["height"], header["step"], header["full"]) == (64, 64, 1, [64, 64])
    assert parts[0] == run.preview("test", image)
    stored = {head: queries.images.prediction(run, "test", head, 0, image) for head in shown}
    classes = len(stored["sigmoid"].truth)
    truth, valid = bits(parts[1], classes, 64, 64)
    assert (truth == stored["sigmoid"].truth).all()
    assert (valid == stored["sigmoid"].valid).all()
    assert len(parts) == 4
    assert bool(block.cells) == (kind == "exclusive")
    cells = payload.unpack(block.cells)[1] if kind == "exclusive" else parts[2:]
    assert len(cells) == 2
    for number, head in enumerate(shown):
        codes = np.frombuffer(zlib.decompress(cells[number]), np.uint8).reshape(classes, 64, 64)
        assert (codes == payload.codes(stored[head].log_odds)).all()
        if kind == "exclusive":
            largest = np.frombuffer(zlib.decompress(parts[2 + number]), "<u2").reshape(64, 64)
            assert (largest == stored[head].log_odds.argmax(axis=0)).all()


def test_a_thinned_block_holds_every_third_pixel(runs, image, monkeypatch):
    monkeypatch.setattr(payload, "MOST_CODES", 6 * 64 * 64 // 5)  # sqrt(5) rounded up: every third
    queries.images.viewer_block.clear()
    header, parts = payload.unpack(
        queries.images.viewer_block(runs["exclusive"], "test", ("sigmoid", "softmax"), 0, image["exclusive"]).seen
    )
    assert (header["width"], header["height"], header["step"]) == (22, 22, 3)
    stored = queries.images.prediction(runs["exclusive"], "test", "sigmoid", 0, image["exclusive"])
    truth, _ = bits(parts[1], 6, 22, 22)
    assert (truth == stored.truth[:, ::3, ::3]).all()
    queries.images.viewer_block.clear()


def test_block_made_ahead_is_the_block(runs, image):
    asked = (runs["exclusive"], "test", ("softmax", "sigmoid"), 0, image["exclusive"])
    queries.images.make_ahead(*asked)
    queries.images.make_ahead(*asked)  # asking twice makes it once
    ahead = queries.images.viewer_block(*asked)
    queries.images.make_ahead(*asked)  # it is kept: nothing to do
    queries.images.viewer_block.clear()
    assert queries.images.viewer_block(*asked) == ahead


def test_image_that_is_not_there_is_said_when_it_is_asked_for(runs):
    asked = (runs["exclusive"], "test", ("sigmoid", "softmax"), 0, "gone")
    queries.images.make_ahead(*asked)
    with pytest.raises(RunError, match="no image gone"):
        queries.images.viewer_block(*asked)


def test_more_blocks_ahead_than_are_kept_are_dropped(runs):
    names = runs["overlapping"].image_scores().query("split == 'test'")["image"].unique()[:20]
    for name in names:
        queries.images.make_ahead(runs["overlapping"], "test", ("sigmoid", "softmax"), 1, name)
    for name in (names[0], names[-1]):
        block = queries.images.viewer_block(runs["overlapping"], "test", ("sigmoid", "softmax"), 1, name)
        header, _ = payload.unpack(block.seen)
        assert header["width"] == 64


def test_pixel_values_are_those_stored(runs, image):
    stored = queries.images.prediction(runs["overlapping"], "test", "softmax", 1, image["overlapping"])
    found = queries.images.pixel_values(
        runs["overlapping"], "test", ("sigmoid", "softmax"), 1, image["overlapping"], 50, 39
    )
    assert (found.truth == stored.truth[:, 39, 50]).all()
    assert (found.log_odds["softmax"] == stored.log_odds[:, 39, 50]).all()
    expected = 1 / (1 + np.exp(-stored.log_odds[:, 39, 50].astype(np.float64)))
    assert found.probability("softmax") == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("place", [(64, 0), (0, 64), (-1, 0)])
def test_pixel_outside_the_image_has_no_values(runs, image, place):
    assert (
        queries.images.pixel_values(runs["overlapping"], "test", ("sigmoid",), 0, image["overlapping"], *place) is None
    )


@pytest.mark.parametrize("shows", ["differences", "truth", "first", "second", "image"])
@pytest.mark.parametrize("kind", ["exclusive", "overlapping"])
def test_thumbnails_are_small_jpegs(runs, image, kind, shows):
    made = queries.images.thumbnail(runs[kind], "test", image[kind], seed=0, heads=("sigmoid", "softmax"), shows=shows)
    assert made[:2] == b"\xff\xd8"
    assert len(made) < 30_000


def test_thumbnails_come_as_many_as_there_is_time_for_and_at_least_one():
    asked = []

    def make(name):
        asked.append(name)
        return name.encode()

    assert queries.images.within(60, ["a", "b"], make) == [b"a", b"b"]
    assert queries.images.within(-1, ["a", "b", "c"], make) == [b"a", None, None]
    assert queries.images.within(1, [], make) == []
    assert asked == ["a", "b", "a"]


def test_names_reach_the_page_as_text_only():
    scripts = [path.read_text() for path in PARTS.glob("*.js")]
    assert len(scripts) >= 8
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser")
    assert not [found for script in scripts for found in forbidden.findall(script)]


def test_scripts_ask_nothing_of_the_outside():
    for path in PARTS.iterdir():
        assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|@import|url\(", path.read_text()), path.name


def test_every_layer_has_a_place_in_the_drawing_order():
    script = (PARTS / "view.js").read_text()
    codes = re.findall(r'\{ code: "(\w)"', script)
    order = re.search(r'ORDER = "(\w+)"', script)[1]
    assert len(set(codes)) == len(codes) == 14
    assert sorted(codes) == sorted(order)
