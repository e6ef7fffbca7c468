"""What is counted of a prediction: fitted temperatures, and each network read by the other head's function."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit, logsumexp, softmax

from pipelines import heads
from pipelines.errors import ShapeError
from pipelines.evaluation import outputs, readings_of
from pipelines.heads import head_specs
from pipelines.store.predictions import Prediction
from pipelines.temperature import Sample, Temperature, fit_by_class, fit_temperature

CLASSES = ("a", "b", "c")
SETS = {(): 5, (0,): 4, (1,): 3, (0, 1): 2, (2,): 1}


def specs_of(kind):
    classes = CLASSES[:1] if kind == "binary" else CLASSES
    return {spec.head: spec for spec in head_specs(kind, classes, set_counts=SETS)}


def logits_of(spec, *, seed=0, size=(4, 5), scale=3.0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, scale, (len(spec.channels), *size)).astype(np.float32)


def prediction(spec, logits):
    """As it is stored, log-odds in float16."""
    shape = logits.shape[1:]
    truth = np.zeros((len(spec.classes), *shape), bool)
    truth[0] = True
    total = heads.logsumexp(logits).astype(np.float16) if spec.is_softmax else None
    log_odds, extra = (
        part.astype(np.float16) for part in (heads.log_odds(spec, logits), heads.extra_log_odds(spec, logits))
    )
    return Prediction("i", truth, np.ones(shape, bool), log_odds, extra, total)


def by_place(spec, logits, *, temperature=None, swap=False):
    return {(one.reading, one.variant): one for one in outputs(prediction(spec, logits), spec, temperature, swap=swap)}


# Reading one network by the other head's function ------------------------------------------------------------------


def test_sigmoid_logits_read_as_softmax_by_hand():
    # z = (ln 2, 0, 0): softmax = (2, 1, 1) / 4, log-odds of 1/2 and of 1/4
    spec = specs_of("exclusive")["sigmoid"]
    classes, none = heads.read_as_softmax(spec, np.log(np.array([[2.0], [1.0], [1.0]], np.float32)))
    assert expit(classes[:, 0]) == pytest.approx([0.5, 0.25, 0.25])
    assert len(none) == 0
    # where a pixel may have no label, it stands beside a 0: (1; 2, 1, 1) / 5
    classes, none = heads.read_as_softmax(
        specs_of("overlapping")["sigmoid"], np.log(np.array([[2.0], [1], [1]], np.float32))
    )
    assert expit(classes[:, 0]) == pytest.approx([0.4, 0.2, 0.2])
    assert expit(none[0, 0]) == pytest.approx(0.2)


def test_softmax_logits_read_as_sigmoid_on_exclusive_truth_are_the_logits_themselves():
    spec = specs_of("exclusive")["softmax"]
    logits = logits_of(spec)
    found = by_place(spec, logits, swap=True)["softmax-as-sigmoid", "raw"]
    assert found.softmax is False
    assert np.abs(found.log_odds.astype(np.float64) - logits).max() < 0.02  # stored in float16: two roundings near 8


def test_softmax_logits_read_as_sigmoid_on_overlapping_truth_are_those_less_the_backgrounds():
    spec = specs_of("overlapping")["softmax"]
    logits = logits_of(spec)
    found = by_place(spec, logits + 3, swap=True)["softmax-as-sigmoid", "raw"]  # whatever their shift
    assert np.abs(found.log_odds.astype(np.float64) - (logits[1:] - logits[0])).max() < 0.02


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["exclusive", "overlapping"]))
def test_reading_as_sigmoid_undoes_reading_as_softmax(seed, kind):
    specs = specs_of(kind)
    z = logits_of(specs["sigmoid"], seed=seed)
    classes, none = heads.read_as_softmax(specs["sigmoid"], z)
    total = logsumexp(z, axis=0).astype(np.float32)
    back = heads.read_as_sigmoid(specs["softmax"], classes, none, total)
    assert np.abs(back - z).max() < 1e-3
    p = expit(np.concatenate([classes, none]).astype(np.float64))
    assert np.abs(p.sum(axis=0) - 1).max() < 1e-5


def test_reading_as_softmax_equals_scipy():
    z = logits_of(specs_of("exclusive")["sigmoid"])
    classes, _ = heads.read_as_softmax(specs_of("exclusive")["sigmoid"], z)
    assert np.abs(classes - logit(softmax(z.astype(np.float64), axis=0))).max() < 1e-4


def test_each_reading_takes_the_head_it_is_meant_for():
    specs = specs_of("overlapping")
    z = np.zeros((3, 1), np.float32)
    with pytest.raises(ShapeError, match="sigmoid head"):
        heads.read_as_softmax(specs["softmax"], z)
    with pytest.raises(ShapeError, match="one channel a class"):
        heads.read_as_sigmoid(specs["softmax-powerset"], z, z, z[0])


def test_one_class_and_label_sets_have_no_swap_and_a_head_alone_has_its_own():
    assert readings_of(specs_of("binary")) == ()
    every = specs_of("overlapping")
    assert readings_of({"softmax-powerset": every["softmax-powerset"]}) == ()
    assert readings_of({"sigmoid": every["sigmoid"]}) == ("sigmoid-as-softmax",)
    assert readings_of({"softmax": every["softmax"]}) == ("softmax-as-sigmoid",)
    assert readings_of(specs_of("overlapping")) == ("sigmoid-as-softmax", "softmax-as-sigmoid")


# Temperatures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["exclusive", "binary", "overlapping"])
def test_temperature_one_changes_nothing_and_variants_are_those_of_the_head(kind):
    for head, spec in specs_of(kind).items():
        one = Temperature(1.0, (1.0,) * len(spec.classes)) if head == "sigmoid" else Temperature(1.0)
        found = by_place(spec, logits_of(spec), temperature=one)
        expected = {"raw", "temperature"} | ({"temperature-by-class"} if head == "sigmoid" else set())
        assert {variant for _, variant in found} == expected
        raw = found[head, "raw"]
        for output in found.values():
            gap = np.abs(output.log_odds.astype(np.float64) - raw.log_odds.astype(np.float64))
            assert (gap <= 0.01 * np.maximum(1, np.abs(raw.log_odds.astype(np.float64)))).all()
            assert output.channel_labels == raw.channel_labels


def test_channels_at_a_temperature_share_one_unit_of_probability():
    spec = specs_of("overlapping")["softmax"]
    found = by_place(spec, logits_of(spec), temperature=Temperature(2.0))["softmax", "temperature"]
    p = expit(np.concatenate([found.log_odds, found.channels]).astype(np.float64)).sum(axis=0)
    assert found.channel_labels == (0,)
    assert np.abs(p - 1).max() < 3e-3
    powerset = specs_of("overlapping")["softmax-powerset"]
    found = by_place(powerset, logits_of(powerset), temperature=Temperature(2.0))["softmax-powerset", "temperature"]
    assert found.channel_labels == (0, 1, 1, 2, 1)
    assert np.abs(expit(found.channels.astype(np.float64)).sum(axis=0) - 1).max() < 3e-3


def test_a_temperature_for_each_class_is_fitted_on_that_class_alone():
    # log-odds of class a are twice too large, those of b right, those of c half as large as they should be
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, (3, 60_000)).astype(np.float32)
    truth = rng.random(true.shape) < expit(true)
    sample = Sample(true * np.array([[2.0], [1.0], [0.5]], np.float32), np.empty((0, true.shape[1]), np.float32), truth)
    assert fit_by_class(sample) == pytest.approx((2.0, 1.0, 0.5), rel=0.04)
    common = fit_temperature(specs_of("overlapping")["sigmoid"], sample)
    assert 0.5 < common < 2.0
