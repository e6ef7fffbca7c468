"""Losses by hand, against torch and segmentation-models-pytorch, and at the edges."""

import inspect
import math
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch
from segmentation_models_pytorch import losses as smp_losses
from torch.nn import functional

from pipelines.config import LOSSES as NAMES
from pipelines.config import TrainingConfig
from pipelines.errors import ConfigError, ShapeError
from pipelines.heads import HeadSpec, encode, head_specs, log_odds, sigmoid
from pipelines.losses import (
    DICE_SMOOTHING,
    LOSSES,
    Loss,
    RegionTerm,
    class_probabilities,
    loss_function,
    memberships,
)
from pipelines.recipe import Ingredients, code_of

COUNTS = {(): 90, (0,): 30, (0, 1): 10}
SPECS = [
    *head_specs("exclusive", ("a", "b", "c")),
    *head_specs("binary", ("a",)),
    *head_specs("overlapping", ("a", "b"), set_counts=COUNTS),
]
INGREDIENTS = Ingredients(
    spec=SPECS[0],
    seed=0,
    seeds=(0,),
    training=TrainingConfig(),
    variant="raw",
    temperature=1.0,
    thresholds=(0.5, 0.5, 0.5),
    tuned=True,
    threshold_spread=0.0,
    by_argmax=False,
    ignored=True,
    weights=None,
    mean=None,
    std=None,
)
EVERY = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind}-{spec.head}")
EACH = pytest.mark.parametrize("name", NAMES)


def case(spec: HeadSpec, *, seed=0, size=(3, 6, 7), ignored=0.3):
    """Random logits with the target of random truth: logits, target, valid."""
    rng = np.random.default_rng(seed)
    batch, height, width = size
    classes = len(spec.classes)
    if spec.kind == "exclusive":
        truth = rng.integers(classes, size=(batch, 1, height, width)) == np.arange(classes).reshape(1, -1, 1, 1)
    else:
        truth = rng.random((batch, classes, height, width)) < 0.4
    valid = rng.random((batch, height, width)) >= ignored
    target = np.stack([encode(spec, t & v, v) for t, v in zip(truth, valid, strict=True)])
    logits = torch.tensor(rng.normal(0, 2, (batch, len(spec.channels), height, width)), dtype=torch.float32)
    return logits.requires_grad_(), torch.from_numpy(target), torch.from_numpy(valid)


def test_the_registry_holds_the_losses_that_can_be_asked_for():
    assert tuple(LOSSES) == NAMES
    with pytest.raises(ConfigError, match="unknown loss 'hinge'; available are ce, dice"):
        loss_function("hinge", SPECS[0])


@EVERY
@EACH
def test_an_ignored_pixel_has_no_value_no_count_and_no_gradient(name, spec):
    logits, target, valid = case(spec)
    loss = loss_function(name, spec)
    value = loss(logits, target, valid)
    value.backward()
    assert (logits.grad[~valid[:, None].expand_as(logits)] == 0).all()
    assert (logits.grad != 0).any()
    # Whatever stands at ignored pixels, the value is the same to the bit.
    other_target = torch.where(valid if spec.is_softmax else valid[:, None], target, 1 - target.abs())
    other = loss(torch.where(valid[:, None], logits, 50.0), other_target, valid)
    assert torch.equal(other, value)
    # And it is the value of the valid pixels alone, laid out in one row.
    alone = logits.detach().movedim(1, -1)[valid].T[None, :, None]
    kept = target[valid][None, None] if spec.is_softmax else target.movedim(1, -1)[valid].T[None, :, None]
    assert loss(alone, kept, torch.ones(1, 1, int(valid.sum()), dtype=torch.bool)) == pytest.approx(
        value.item(), rel=1e-5
    )


@EVERY
@EACH
def test_a_batch_without_a_valid_pixel_gives_zero_and_zero_gradient(name, spec):
    logits, target, valid = case(spec, ignored=1.1)
    assert not valid.any()
    value = loss_function(name, spec)(logits, target, valid)
    value.backward()
    assert value.item() == 0.0
    assert (logits.grad == 0).all()


@EVERY
@EACH
def test_a_sure_and_right_answer_costs_nothing_and_a_wrong_one_much(name, spec):
    _, target, valid = case(spec)
    if spec.is_softmax:
        right = functional.one_hot(target.clamp(min=0), len(spec.channels)).movedim(-1, 1).float()
    else:
        right = target
    loss = loss_function(name, spec)
    logits = (right * 60 - 30).requires_grad_()
    value = loss(logits, target, valid)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert loss(-logits, target, valid).item() > 0.5
    assert logits.grad.isfinite().all()
    extreme = loss(right * -2e4 + 1e4, target, valid)
    assert extreme.isfinite()


@EVERY
@EACH
def test_the_loss_is_computed_in_float32_whatever_autocast_does(name, spec):
    logits, target, valid = case(spec)
    half = logits.detach().to(torch.bfloat16)
    loss = loss_function(name, spec)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(half, target, valid)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(half.float(), target, valid))


def test_shapes_that_do_not_fit_are_refused():
    logits, target, valid = case(SPECS[1])
    with pytest.raises(
        ShapeError, match=r"softmax loss needs logits \(3, 3, 6, 7\) and target \(3, 6, 7\), got \(3, 2,"
    ):
        loss_function("ce", SPECS[1])(logits[:, :2], target, valid)


# Cross-entropy ---------------------------------------------------------------------------------------------------


def test_zero_logits_cost_ln_2_with_sigmoid_and_ln_k_with_softmax():
    for spec in SPECS:
        logits, target, valid = case(spec)
        expected = math.log(len(spec.channels)) if spec.is_softmax else math.log(2)
        assert loss_function("ce", spec)(logits * 0, target, valid).item() == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_by_hand():
    # One valid pixel of two, true class 1 of 2, logits (0, ln 3): softmax p = 3/4, so -ln 3/4.
    # Sigmoid: p = (1/2, 3/4), truth (0, 1): mean of -ln 1/2 and -ln 3/4.
    sigmoid_spec, softmax_spec = head_specs("exclusive", ("a", "b"))
    logits = torch.tensor([[0.0, 9.0], [math.log(3), -9.0]]).view(1, 2, 1, 2)
    valid = torch.tensor([[[True, False]]])
    multi_hot = torch.tensor([[0.0, 0.0], [1.0, 0.0]]).view(1, 2, 1, 2)
    index = torch.tensor([[[1, -1]]])
    assert loss_function("ce", softmax_spec)(logits, index, valid).item() == pytest.approx(-math.log(0.75))
    expected = (math.log(2) - math.log(0.75)) / 2
    assert loss_function("ce", sigmoid_spec)(logits, multi_hot, valid).item() == pytest.approx(expected)


@EVERY
def test_cross_entropy_is_torchs_over_the_valid_pixels(spec):
    logits, target, valid = case(spec)
    value = loss_function("ce", spec)(logits, target, valid)
    if spec.is_softmax:
        expected = functional.cross_entropy(logits, target, ignore_index=-1)
    else:
        rows = logits.movedim(1, -1)[valid], target.movedim(1, -1)[valid]
        expected = functional.binary_cross_entropy_with_logits(*rows)
    torch.testing.assert_close(value, expected)


@EACH
def test_two_class_softmax_is_a_sigmoid_of_the_difference(name):
    # p1 = 1 / (1 + exp(z0 - z1)): value and gradient of every family are equal. No such pair is a real contest.
    one, two = head_specs("binary", ("a",))
    logits, index, valid = case(two)
    difference = (logits[:, 1:] - logits[:, :1]).detach().requires_grad_()
    multi_hot = ((index == 1) & valid)[:, None].float()
    softmax, single = (
        loss_function(name, two)(logits, index, valid),
        loss_function(name, one)(difference, multi_hot, valid),
    )
    torch.testing.assert_close(softmax, single)
    softmax.backward()
    single.backward()
    torch.testing.assert_close(logits.grad[:, 1:], difference.grad)
    torch.testing.assert_close(logits.grad[:, :1], -difference.grad)


# Focal -----------------------------------------------------------------------------------------------------------


def test_focal_by_hand():
    # p of what is true = 3/4: (1/4)^2 * -ln 3/4.
    spec = head_specs("exclusive", ("a", "b"))[1]
    logits = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1)
    value = loss_function("focal", spec)(logits, torch.tensor([[[1]]]), torch.tensor([[[True]]]))
    assert value.item() == pytest.approx(-math.log(0.75) / 16)


@EVERY
def test_focal_is_smps_where_that_is_right(spec):
    # SMP's binary focal loss without alpha is the sigmoid form. Its multiclass form sums one-against-rest terms of
    # raw logits, which is not the focal loss of a softmax, so that is computed here from log_softmax in float64.
    logits, target, valid = case(spec, ignored=0)
    value = loss_function("focal", spec)(logits, target, valid)
    if spec.is_softmax:
        log_p = logits.double().log_softmax(1).gather(1, target[:, None])
        expected = (-((1 - log_p.exp()) ** 2) * log_p).mean().float()
    else:
        expected = smp_losses.FocalLoss("binary", gamma=2.0)(logits, target)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)


# Dice ------------------------------------------------------------------------------------------------------------


def test_dice_by_hand():
    # Two valid pixels, p = (1/2, 1/4) and truth (1, 0), an ignored third: 1 - (2 * 1/2 + 1) / (3/4 + 1 + 1) = 3/11.
    spec = head_specs("binary", ("a",))[0]
    logits = torch.tensor([0.0, -math.log(3), 40.0]).view(1, 1, 1, 3)
    target = torch.tensor([1.0, 0.0, 0.0]).view(1, 1, 1, 3)
    valid = torch.tensor([[[True, True, False]]])
    assert DICE_SMOOTHING == 1
    assert loss_function("dice", spec)(logits, target, valid).item() == pytest.approx(3 / 11)


@pytest.mark.parametrize("spec", SPECS[:2], ids=lambda spec: spec.head)
def test_dice_is_smps_with_half_the_smoothing(spec):
    # SMP computes (both + s) / ((p + y) / 2 + s), which is ours at smoothing 2s. It gives classes without truth the
    # loss 0 instead of asking for no prediction, so every class has truth here.
    logits, target, valid = case(spec, ignored=0)
    mode = "multiclass" if spec.is_softmax else "multilabel"
    expected = smp_losses.DiceLoss(mode, smooth=DICE_SMOOTHING / 2)(logits, target)
    torch.testing.assert_close(loss_function("dice", spec)(logits, target, valid), expected)


def test_dice_averages_over_classes_and_not_over_background():
    # Softmax with background, all probability on background, truth all background: |both| = 0 for both classes,
    # so each scores 1 by smoothing and the loss is 0. Were background a class its own Dice would count too.
    spec = head_specs("overlapping", ("a", "b"), set_counts=COUNTS)[1]
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 0] = 60
    target = torch.zeros(1, 2, 2, dtype=torch.int64)
    valid = torch.ones(1, 2, 2, dtype=torch.bool)
    assert loss_function("dice", spec)(logits, target, valid).item() == pytest.approx(0, abs=1e-6)
    # All on background, truth all a (the 4 pixels): a scores (0 + 1) / (4 + 1), b scores 1: 1 - 1.2 / 2 = 0.4.
    truth = torch.full((1, 2, 2), spec.channels.index("a"))
    assert loss_function("dice", spec)(logits, truth, valid).item() == pytest.approx(0.4)


def test_dice_of_label_sets_counts_a_class_in_every_set_that_holds_it():
    # Sets {}, {a}, {a, b}. All probability on {a}, truth {a, b} on 4 pixels: a: (8 + 1) / (8 + 1) = 1,
    # b: 1 / (4 + 1). Loss 1 - (1 + 1/5) / 2 = 0.4.
    spec = head_specs("overlapping", ("a", "b"), set_counts=COUNTS)[2]
    assert spec.channels == ("background", "a", "a+b")
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 1] = 60
    valid = torch.ones(1, 2, 2, dtype=torch.bool)
    value = loss_function("dice", spec)(logits, torch.full((1, 2, 2), 2), valid)
    assert value.item() == pytest.approx(0.4)


@EVERY
def test_the_sum_of_two_families_is_their_sum(spec):
    arguments = case(spec)
    both = loss_function("ce+dice", spec)(*arguments)
    torch.testing.assert_close(both, sum(loss_function(name, spec)(*arguments) for name in ("ce", "dice")))


# Probabilities ---------------------------------------------------------------------------------------------------


@EVERY
def test_class_probabilities_are_those_of_the_log_odds(spec):
    logits = case(spec)[0].detach()
    expected = np.stack([sigmoid(log_odds(spec, image)) for image in logits.numpy()])
    np.testing.assert_allclose(class_probabilities(spec, logits).numpy(), expected, atol=2e-7)


def test_memberships_say_which_channels_speak_for_a_class():
    tables = {(spec.kind, spec.head): memberships(spec).tolist() for spec in SPECS[3:]}
    assert tables["binary", "softmax"] == [[0], [1]]
    assert tables["overlapping", "sigmoid"] == [[1, 0], [0, 1]]
    assert tables["overlapping", "softmax"] == [[0, 0], [1, 0], [0, 1]]
    assert tables["overlapping", "softmax-powerset"] == [[0, 0], [1, 0], [1, 1]]


@EVERY
def test_a_new_loss_is_one_entry(spec, monkeypatch):
    """With it settings take it, networks learn by it, and the code to copy computes the same."""

    def tversky(p, y):  # Salehi et al. 2017: false negatives count 0.7, false positives 0.3
        both = (p * y).sum(dim=(0, 2, 3))
        missed, wrong = (y * (1 - p)).sum(dim=(0, 2, 3)), (p * (1 - y)).sum(dim=(0, 2, 3))
        return (1 - (both + 1) / (both + 0.7 * missed + 0.3 * wrong + 1)).mean()

    definition = inspect.getsource(tversky).replace("def tversky", "def soft_tversky_loss")
    term = RegionTerm(tversky, "tversky", textwrap.dedent(definition).rstrip())
    monkeypatch.setitem(LOSSES, "tversky", Loss("Tversky", (term,)))
    logits, target, valid = case(spec)
    value = loss_function("tversky", spec)(logits, target, valid)
    value.backward()
    assert (logits.grad != 0).any()
    training = TrainingConfig.model_construct(**(TrainingConfig().model_dump() | {"loss": "tversky"}))
    names = {}
    for part in code_of(replace(INGREDIENTS, spec=spec, training=training)).values():
        exec("\n".join(line for line in part.splitlines() if not line.startswith("model =")), names)
    marked = target if spec.is_softmax else torch.where(valid[:, None], target, -1.0)
    assert names["loss"](logits, marked).item() == pytest.approx(value.item(), rel=2e-6)
