"""What users bring against what they declare: each misuse made for real, and the near misses that must stay silent."""

import functools
import io
import json
import re
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from arrays import example
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from places import REPO
from pydantic import ValidationError
from scipy.special import expit, log_softmax, softmax
from typer.testing import CliRunner

from pipelines import cli, misuse
from pipelines.channels import Declaration, declare
from pipelines.errors import ConfigError, DatasetError, PipelineError, ShapeError
from pipelines.heads import head_specs
from pipelines.imports.readers import arrays
from pipelines.imports.readers.arrays import read_outputs
from pipelines.misuse import MisuseCheck, check_outputs, check_pair, head_check

SIZE = (40, 42)  # 1,680 pixels: enough to infer from


def declared(head, values, *classes, background=None):
    return Declaration(head=head, values=values, classes=classes, background=background)


def told(outputs, head, values, *classes):
    return check_outputs(outputs, declared(head, values, *classes))


def codes(found):
    return [f"{one.code} {one.severity}" for one in found]


def logits(kind="exclusive", *, seed=0, classes=3, size=SIZE):
    """Two images' logits as a trained network gives them, (2, C, H, W) float32."""
    return np.stack([example(kind, seed=seed + k, size=size, classes=classes)[0] for k in range(2)]).astype(np.float32)


@functools.cache
def body(arch, seed):
    """A real network without its last layer, and what it makes of noise."""
    torch.manual_seed(seed)
    net = smp.create_model(arch, "tu-mobilenetv3_small_050", encoder_weights=None).eval()
    with torch.inference_mode():
        return net.segmentation_head[0], net.decoder(net.encoder(torch.randn(2, 3, 64, 64)))


def network(classes, activation=None, *, gain=1.0, seed=0, arch="Unet"):
    """Outputs of a network, (2, C, 64, 64) float32. gain: how sure its last layer is."""
    old, decoded = body(arch, seed)
    torch.manual_seed(seed)
    head = smp.base.SegmentationHead(
        old.in_channels,
        classes,
        kernel_size=old.kernel_size[0],
        activation=activation,
        upsampling=64 // decoded.shape[2],
    )
    smp.base.initialization.initialize_head(head)
    with torch.inference_mode():
        head[0].weight *= gain
        return head(decoded)


# Activation twice ---------------------------------------------------------------------------------------------------


def test_a_sigmoid_over_a_network_that_ends_in_one_is_activation_twice():
    twice = network(3, "sigmoid", gain=30).sigmoid().numpy()
    (one,) = told(twice, "sigmoid", "probabilities")
    assert (one.code, one.severity) == ("ACTIVATION-TWICE", "error")
    assert "every one of the 24,576 values" in one.message  # 2 · 3 · 64 · 64
    assert "most likely" in one.message
    assert codes(told(twice.astype(np.float16), "sigmoid", "probabilities")) == ["ACTIVATION-TWICE error"]


def test_a_second_sigmoid_over_an_unsure_network_is_a_caution_that_names_both_causes():
    # sigmoid of 0.2 to 0.8 is 0.550 to 0.690: inside, without reaching the ends.
    p = np.linspace(0.2, 0.8, 2 * SIZE[0] * SIZE[1]).reshape(2, *SIZE)
    (one,) = told(expit(p), "sigmoid", "probabilities")
    assert (one.code, one.severity) == ("ACTIVATION-TWICE", "warning")
    assert "(0.5498 to 0.69)" in one.message
    assert "or the network is unsure everywhere" in one.message


@pytest.mark.parametrize("classes", [2, 3, 5, 11])
def test_a_softmax_over_a_network_that_ends_in_one_is_activation_twice(classes):
    once = network(classes, "softmax2d", gain=60)
    assert told(once.numpy(), "softmax", "probabilities") == ()
    twice = once.softmax(dim=1)
    (one,) = told(twice.numpy(), "softmax", "probabilities")
    assert (one.code, one.severity) == ("ACTIVATION-TWICE", "error")
    low, high = misuse.twice_bounds(classes)
    assert f"{low:.3f} to {high:.3f}" in one.message
    for coarse in (twice.half(), twice.bfloat16().float()):
        assert codes(told(coarse.numpy(), "softmax", "probabilities")) == ["ACTIVATION-TWICE error"]


def test_bounds_of_a_softmax_of_a_softmax_by_hand():
    # K = 2: 1 / (1 + e) = 0.2689 and e / (1 + e) = 0.7311. K = 11: 1 / 12.718 and 2.718 / 12.718.
    assert misuse.twice_bounds(2) == pytest.approx((0.26894, 0.73106), abs=1e-5)
    assert misuse.twice_bounds(11) == pytest.approx((0.078627, 0.213731), abs=1e-6)


@given(hnp.arrays(np.float64, (st.integers(2, 9)).map(lambda k: (k, 20)), elements=st.floats(-30, 30)))
def test_no_softmax_of_a_softmax_leaves_its_bounds_and_one_hot_rows_reach_them(z):
    low, high = misuse.twice_bounds(len(z))
    twice = softmax(softmax(z, axis=0), axis=0)
    assert low - 1e-12 <= twice.min()
    assert twice.max() <= high + 1e-12
    corner = softmax(np.eye(len(z))[0])
    assert (corner.min(), corner.max()) == pytest.approx((low, high))


def test_a_softmax_of_a_softmax_is_traced_back_to_the_inner_one():
    inner = torch.softmax(torch.randn(4, 50, dtype=torch.float64) * 5, dim=0)
    outer = torch.softmax(inner, dim=0).numpy()
    np.testing.assert_allclose(misuse._inner_softmax(outer), inner.numpy(), atol=1e-12)


def test_an_unsure_two_class_softmax_that_says_the_class_shares_everywhere_is_silent():
    # p = 0.28 ± 0.01 looks like softmax(softmax(z)) at each pixel, 0.269 to 0.731, but it stays at one end.
    p = 0.28 + 0.01 * np.sin(np.arange(1680)).reshape(1, *SIZE)
    assert told(np.concatenate([p, 1 - p]), "softmax", "probabilities") == ()


def test_two_channels_that_reach_both_ends_by_chance_are_silent():
    # Log-odds between -1 and 1 at every pixel; only 2 of 1,680 pixels, under 1%, are within 0.1 of an end.
    log_odds = np.linspace(-0.8, 0.8, 1680)
    log_odds[0], log_odds[-1] = -1, 1
    p = expit(log_odds).reshape(1, *SIZE)
    assert told(np.concatenate([p, 1 - p]), "softmax", "probabilities") == ()
    sure = np.sign(log_odds).reshape(1, *SIZE)  # softmax(softmax(z)) of a network that is sure everywhere
    assert codes(told(expit(np.concatenate([sure, -sure])), "softmax", "probabilities")) == ["ACTIVATION-TWICE error"]


@pytest.mark.parametrize(
    ("classes", "top", "found"), [(5, 0.8, True), (5, 0.6, False), (3, 0.8, False), (3, 0.95, True)]
)
def test_how_sure_a_network_must_be_for_its_second_softmax_to_be_told(classes, top, found):
    # Each class is the surest somewhere, with p = top, the others share the rest; elsewhere it has (1 - top) / (K - 1).
    # After the second softmax its log p changes by top - (1 - top) / (K - 1): 0.75, 0.5, 0.7 and 0.925.
    inner = np.full((classes, *SIZE), (1 - top) / (classes - 1))
    for index in range(classes):
        inner[index, index::classes] = top
    assert bool(told(softmax(inner, axis=0), "softmax", "probabilities")) == found


# One channel, logits and probabilities exchanged --------------------------------------------------------------------


def test_a_softmax_over_one_channel_is_an_error_whatever_the_values():
    for outputs in (network(1).numpy(), network(1).softmax(dim=1).numpy()):
        for values in ("logits", "probabilities"):
            assert codes(told(outputs, "softmax", values)) == ["SOFTMAX-ONE-CHANNEL error"]


def test_ones_everywhere_in_one_channel_declared_sigmoid_betray_the_softmax():
    ones = network(1, "softmax2d").numpy()
    for values in ("logits", "probabilities"):
        (one,) = told(ones, "sigmoid", values)
        assert one.code == "SOFTMAX-ONE-CHANNEL"
        assert "most likely" in one.message


@pytest.mark.parametrize(
    ("head", "kind"), [("sigmoid", "overlapping"), ("softmax", "exclusive"), ("sigmoid", "binary")]
)
def test_logits_declared_probabilities(head, kind):
    z = logits(kind)
    (one,) = told(z, head, "probabilities")
    outside = int(((z < -1e-3) | (z > 1 + 1e-3)).sum())
    assert (one.code, one.severity) == ("LOGITS-AS-PROBABILITIES", "error")
    assert one.message.startswith(f"{outside:,} of {z.size:,} values")


def test_log_probabilities_declared_probabilities():
    assert codes(told(log_softmax(logits(), axis=1), "softmax", "probabilities")) == ["LOGITS-AS-PROBABILITIES error"]


@pytest.mark.parametrize("classes", [2, 3, 11])
def test_a_softmaxs_probabilities_declared_logits_of_either_head(classes):
    for p in (network(classes, "softmax2d"), network(classes, "softmax2d", gain=60)):  # sure or not
        for head in ("softmax", "sigmoid"):
            (one,) = told(p.numpy(), head, "logits")
            assert (one.code, one.severity) == ("PROBABILITIES-AS-LOGITS", "error")
            assert "add up to 1 at every one of 8,192 pixels" in one.message
            assert ("0.500 to 0.731" in one.message) == (head == "sigmoid")


def test_a_sigmoids_probabilities_declared_logits_of_either_head():
    p = network(3, "sigmoid", gain=30).numpy()
    for head in ("sigmoid", "softmax"):
        assert codes(told(p, head, "logits")) == ["PROBABILITIES-AS-LOGITS error"]


def test_unsure_probabilities_declared_logits_are_a_caution():
    p = np.linspace(0.15, 0.8, 1680).reshape(1, *SIZE)
    (one,) = told(p, "sigmoid", "logits")
    assert (one.code, one.severity) == ("PROBABILITIES-AS-LOGITS", "warning")
    assert "if they are" in one.message


def test_log_probabilities_are_logits_of_a_softmax_and_not_of_a_sigmoid():
    log_p = log_softmax(logits(), axis=1)
    assert told(log_p, "softmax", "logits") == ()
    (one,) = told(log_p, "sigmoid", "logits")
    assert (one.code, one.severity) == ("LOG-PROBABILITIES-AS-LOGITS", "error")
    assert codes(told(log_p.astype(np.float16), "sigmoid", "logits")) == ["LOG-PROBABILITIES-AS-LOGITS error"]
    p = expit(log_p)  # what the message says: p / (1 + p), never above 0.5
    assert p.max() <= 0.5


# Range, rows, hard and constant -------------------------------------------------------------------------------------


def test_cubic_interpolation_overshoots_and_linear_does_not():
    p = torch.from_numpy(expit(logits(size=(24, 24))))
    cubic = torch.nn.functional.interpolate(p, scale_factor=2, mode="bicubic").numpy()
    linear = torch.nn.functional.interpolate(p, scale_factor=2, mode="bilinear").numpy()
    (one,) = told(cubic, "sigmoid", "probabilities")
    outside = int(((cubic < -1e-3) | (cubic > 1 + 1e-3)).sum())
    assert (one.code, one.severity) == ("OUT-OF-RANGE", "error")
    assert one.message.startswith(f"{outside:,} of {cubic.size:,} values")
    assert told(linear, "sigmoid", "probabilities") == ()


def test_probabilities_saved_as_bytes_or_percent_and_class_numbers_are_told_from_logits():
    p = expit(logits())
    for scaled in (np.round(255 * p).astype(np.uint8), 100 * p / p.max(), np.argmax(p, axis=1)[:, None]):
        (one,) = told(scaled, "sigmoid", "probabilities")
        assert (one.code, one.severity) == ("OUT-OF-RANGE", "error")
        assert "scaled probabilities" in one.message
        assert "divide by" in one.message


def test_nan_and_infinity_are_counted_and_hide_nothing_else():
    p = expit(logits("overlapping"))
    p[0, 0, 0, :3] = np.nan
    p[1, 2, 5, 5] = np.inf
    (one,) = told(p, "sigmoid", "probabilities")
    assert (one.code, one.severity) == ("NOT-FINITE", "error")
    assert "(3 NaN, 1 infinite)" in one.message
    p[0, 1, 1, 1] = 1.2
    assert codes(told(p, "sigmoid", "probabilities")) == ["NOT-FINITE error", "OUT-OF-RANGE error"]
    assert codes(told(np.full((2, *SIZE), np.nan), "softmax", "logits")) == ["NOT-FINITE error"]
    minus = logits()
    minus[0, 0, 0, 0] = -np.inf
    assert codes(told(minus, "softmax", "logits")) == ["NOT-FINITE error"]


def test_rows_of_a_softmax_that_do_not_add_up_are_counted():
    p = softmax(logits(), axis=1)
    p[:, :, :10] *= 0.5  # 10 of 40 lines: 2 · 10 · 42 = 840 of 3,360 pixels
    (one,) = told(p, "softmax", "probabilities")
    assert (one.code, one.severity) == ("ROWS", "error")
    assert one.message.startswith("at 840 of 3,360 pixels (25%)")
    assert "off by up to 0.5)" in one.message


def test_padding_and_a_missing_channel_are_seen_in_the_rows():
    p = softmax(logits(classes=4), axis=1)
    assert codes(told(p[:, 1:], "softmax", "probabilities")) == ["ROWS error"]
    p[:, :, -5:] = 0
    (one,) = told(p, "softmax", "probabilities")
    assert "420 of these are 0 in every channel, as padding is" in one.message  # 2 · 5 · 42


def test_a_few_rows_that_do_not_add_up_are_a_caution():
    p = softmax(logits(), axis=1)
    p[0, 0, 0, :3] += 0.1  # 3 of 3,360: under 1 in 1,000
    assert codes(told(p, "softmax", "probabilities")) == ["ROWS warning"]


def test_a_sigmoids_rows_do_not_pass_for_a_softmax():
    assert codes(told(expit(logits("overlapping")), "softmax", "probabilities")) == ["ROWS error"]


def test_a_softmax_declared_sigmoid_is_a_caution_and_an_exclusive_sigmoid_is_not():
    p = softmax(logits(), axis=1)
    for dtype in (np.float64, np.float32, np.float16):
        (one,) = told(p.astype(dtype), "sigmoid", "probabilities")
        assert (one.code, one.severity) == ("SOFTMAX-AS-SIGMOID", "warning")
    p[1, :, 3, 3] = 0.5, 0.3, 0.3  # one pixel is enough to tell it from a softmax
    assert told(p, "sigmoid", "probabilities") == ()


def test_sigmoids_that_are_sure_or_that_stay_at_one_half_add_up_by_the_way():
    one_hot = logits().argmax(axis=1)[:, None] == np.arange(3)[None, :, None, None]
    assert told(expit(np.where(one_hot, 9.0, -9.0)), "sigmoid", "probabilities") == ()  # rows of 1 + 1e-4
    half = 0.5 + 0.001 * np.random.default_rng(0).standard_normal((2, *SIZE))  # rows of 1 ± 0.005
    for values in ("probabilities", "logits"):
        assert told(half, "sigmoid", values) == ()


def test_decisions_are_called_decisions_in_every_dtype():
    mask = logits("overlapping") > 0
    for outputs in (mask, mask.astype(np.uint8), mask.astype(np.float16)):
        (one,) = told(outputs, "sigmoid", "probabilities")
        assert (one.code, one.severity) == ("HARD", "warning")
        assert "no calibration information" in one.message
    one_hot = logits().argmax(axis=1)[:, None] == np.arange(3)[None, :, None, None]
    assert codes(told(one_hot, "softmax", "probabilities")) == ["HARD warning"]


def test_a_network_that_says_the_same_everywhere_is_a_caution():
    p = np.array([0.6, 0.3])[:, None, None] + 5e-5 * np.random.default_rng(0).random((2, *SIZE))
    for values in ("probabilities", "logits"):
        assert codes(told(p, "sigmoid", values)) == ["NEARLY-CONSTANT warning"]
    p[1, 0, 0] = 0.4  # one channel that changes is enough
    assert told(p, "sigmoid", "probabilities") == ()


def test_another_number_of_channels_than_declared_and_channels_at_the_end():
    z = logits()
    (one,) = told(z, "sigmoid", "logits", "a", "b")
    assert (one.code, one.severity) == ("CHANNELS", "error")
    assert "2 classes are declared (a, b), but the arrays have 3 channels" in one.message
    assert told(z, "sigmoid", "logits", "a", "b", "c") == ()
    (one,) = told(np.moveaxis(z, 1, -1), "sigmoid", "logits", "a", "b", "c")
    assert "np.moveaxis(array, -1, 0)" in one.message


def test_nothing_to_check_is_an_error():
    for outputs in ([], np.zeros((0, 2, 3, 3)), np.zeros((2, 0, 5))):
        assert codes(told(outputs, "softmax", "logits")) == ["EMPTY error"]


# Near misses that must stay silent ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["exclusive", "overlapping", "binary"])
@pytest.mark.parametrize("size", [(4, 5), SIZE])
def test_sound_outputs_of_every_kind_head_and_precision_are_silent(kind, size):
    z = torch.from_numpy(logits(kind, size=size))
    two = torch.cat([torch.zeros_like(z[:, :1]), z], dim=1)  # background and classes
    for head, raw, p in (("sigmoid", z, z.sigmoid()), ("softmax", two, two.softmax(dim=1))):
        for number in (torch.float64, torch.float32, torch.float16):
            assert told(raw.to(number).numpy(), head, "logits") == ()
            assert told(p.to(number).numpy(), head, "probabilities") == ()
        assert told(p.bfloat16().float().numpy(), head, "probabilities") == ()
    clear = two.softmax(dim=1).mul(255).round().div(255).numpy()  # rounded to 8 bits
    assert told(clear, "softmax", "probabilities") == ()


@pytest.mark.parametrize("classes", [1, 2, 3, 11])
@pytest.mark.parametrize("arch", ["Unet", "DeepLabV3Plus"])
def test_untrained_networks_are_silent(arch, classes):
    for seed in range(3):
        z = network(classes, arch=arch, seed=seed)
        for shift in (0.0, 0.5):  # a bias may put every logit between 0 and 1
            moved = z / max(1, 10 * z.abs().max()) + shift if shift else z
            assert told(moved.numpy(), "sigmoid", "logits") == ()
            assert told(moved.sigmoid().numpy(), "sigmoid", "probabilities") == ()
            if classes > 1:
                assert told(moved.numpy(), "softmax", "logits") == ()
                assert told(moved.softmax(dim=1).half().numpy(), "softmax", "probabilities") == ()


@pytest.mark.parametrize("head", ["sigmoid", "softmax"])
def test_a_network_is_silent_at_every_moment_of_its_training(head):
    torch.manual_seed(0)
    truth = torch.from_numpy(np.stack([example("exclusive", seed=k, size=SIZE)[1] for k in range(4)]))
    pictures = truth.float() + torch.randn(4, 3, *SIZE)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 12, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(12, 3, 5, padding=2)
    )
    steps = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(40):
        z = net(pictures)
        p = z.softmax(dim=1) if head == "softmax" else z.sigmoid()
        assert told(z.detach().numpy(), head, "logits") == ()
        assert told(p.detach().numpy(), head, "probabilities") == ()
        if head == "softmax":
            loss = torch.nn.functional.cross_entropy(z, truth.int().argmax(dim=1))
        else:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(z, truth.float())
        steps.zero_grad()
        loss.backward()
        steps.step()
    assert p.max() > 0.9  # it did learn
    again = p.detach().softmax(dim=1) if head == "softmax" else p.detach().sigmoid()
    assert codes(told(again.numpy(), head, "probabilities")) == ["ACTIVATION-TWICE error"]


def test_huge_logits_are_silent():
    for scale in (1e3, 1e30, 1e300):
        for head in ("sigmoid", "softmax"):
            assert told(logits().astype(np.float64) * scale, head, "logits") == ()
    most = np.finfo(np.float64).max * np.sign(logits().astype(np.float64))  # sums of two overflow
    assert told(most, "softmax", "logits") == ()
    assert codes(told(logits().astype(np.longdouble) * np.longdouble("1e400"), "softmax", "logits")) == [
        "NOT-FINITE error"
    ]


def test_a_few_unsure_pixels_are_not_enough_to_infer_from():
    p = np.linspace(0.5, 0.731, 900).reshape(1, 30, 30)
    assert told(p, "sigmoid", "probabilities") == ()
    assert told(p, "sigmoid", "logits") == ()


# Streaming ----------------------------------------------------------------------------------------------------------

NUMBERS = (
    hnp.floating_dtypes(endianness="?") | hnp.integer_dtypes() | hnp.unsigned_integer_dtypes() | hnp.boolean_dtypes()
)
DECLARATIONS = st.builds(
    declared, st.sampled_from(["sigmoid", "softmax"]), st.sampled_from(["probabilities", "logits"])
)
SHAPES = st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(0, 6), st.integers(0, 6))


@settings(max_examples=150, deadline=None)
@given(st.data(), DECLARATIONS, NUMBERS, SHAPES)
def test_any_array_of_numbers_is_told_in_single_lines(data, declaration, dtype, shape):
    outputs = data.draw(hnp.arrays(dtype, shape))
    for one in check_outputs(outputs, declaration):
        assert one.message
        assert one.message.isprintable()


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays(
        np.float32, SHAPES.filter(lambda s: s[0] > 0), elements=st.floats(-0.5, 1.5, width=32) | st.just(np.nan)
    ),
    DECLARATIONS,
    st.randoms(use_true_random=False),
)
def test_parts_in_any_order_equal_the_whole(outputs, declaration, random):
    whole = MisuseCheck(declaration)
    whole.add(outputs)
    order = list(range(len(outputs)))
    random.shuffle(order)
    cut = random.randint(0, len(order))
    one, other = MisuseCheck(declaration), MisuseCheck(declaration)
    for k in order[:cut]:
        one.add(outputs[k])
    for k in order[cut:]:
        other.add(np.asfortranarray(outputs[k]))
    one.merge(other)
    assert one.evidence == whole.evidence
    assert one.findings() == whole.findings()


def test_large_images_are_measured_in_blocks_to_the_same_counts(monkeypatch):
    outputs = softmax(logits(classes=5), axis=1)
    for declaration in (declared("softmax", "probabilities"), declared("sigmoid", "logits")):
        whole = MisuseCheck(declaration)
        whole.add(outputs)
        monkeypatch.setattr(misuse, "_BLOCK", 64)  # 12 of 42 columns at once
        parts = MisuseCheck(declaration)
        parts.add(outputs)
        monkeypatch.undo()
        assert parts.evidence == whole.evidence


def test_what_is_not_outputs_of_one_head_is_refused():
    check = MisuseCheck(declared("softmax", "logits"))
    for wrong in (np.zeros(3), np.zeros((1, 1, 1, 1, 1)), np.zeros((0, 3, 3)), np.zeros((5000, 2, 2))):
        with pytest.raises(ShapeError, match="channels before height and width"):
            check.add(wrong)
    for wrong in (np.zeros((1, 2, 2), complex), np.zeros((1, 2, 2), object), np.zeros((1, 2, 2), "U3")):
        with pytest.raises(ShapeError, match="real numbers"):
            check.add(wrong)
    check.add(np.zeros((2, 3, 3)))
    with pytest.raises(ShapeError, match="same number of channels, got 2 and 3"):
        check.add(np.zeros((3, 3, 3)))
    with pytest.raises(ConfigError, match="one declaration"):
        check.merge(MisuseCheck(declared("sigmoid", "logits")))


# Declarations and pairs ---------------------------------------------------------------------------------------------


def test_declarations_that_contradict_themselves_are_refused():
    for wrong in ({"classes": ("a", "a")}, {"classes": ("a\nb",)}, {"classes": ("a",), "background": "b"}):
        with pytest.raises(ValidationError):
            Declaration(head="softmax", values="logits", **wrong)
    with pytest.raises(ConfigError, match="at least 1 character"):
        declare("softmax", "logits", "a,,b", None)
    assert declare("softmax", "logits", "bg, a", "bg").background == "bg"
    assert declare("sigmoid", "logits", "a", "bg").background is None


def pair(one, other, **options):
    return codes(check_pair(MisuseCheck(one), MisuseCheck(other), **options))


def sig(*classes, **options):
    return declared("sigmoid", "logits", *classes, **options)


def soft(*classes, **options):
    return declared("softmax", "logits", *classes, **options)


def test_a_background_channel_that_only_the_softmax_names_and_nobody_declares_is_an_error():
    for name in ("background", "BG", "__background__"):
        found = check_pair(MisuseCheck(sig("a", "b")), MisuseCheck(soft(name, "a", "b")))
        assert codes(found) == ["BACKGROUND-IN-ONE-HEAD error"]
        assert f"softmax has {name} among its 3 channels, sigmoid with 2" in found[0].message
    assert pair(sig("background", "a"), soft("a")) == ["BACKGROUND-IN-ONE-HEAD error"]


def test_a_declared_background_is_the_softmaxs_right_unless_truth_is_exclusive():
    has = soft("bg", "a", "b", background="bg")
    assert pair(sig("a", "b"), has, kind="overlapping") == []
    assert pair(sig("a", "b"), has, kind="exclusive") == ["BACKGROUND-IN-ONE-HEAD error"]
    assert pair(has, sig("a", "b")) == ["BACKGROUND-IN-ONE-HEAD warning"]  # either may come first
    assert pair(sig("a"), soft("bg", "a", background="bg")) == []  # a binary task
    assert pair(sig("bg", "a", background="bg"), soft("a")) == ["BACKGROUND-IN-ONE-HEAD warning"]


def test_class_lists_must_agree_in_names_and_order():
    assert pair(sig("a", "b"), soft("a", "b")) == []
    assert pair(sig("bg", "a", background="bg"), soft("bg", "a", background="bg")) == []
    assert pair(sig("nothing", "a", background="nothing"), soft("bg", "a", background="bg")) == []
    assert pair(sig("a", "b"), soft("b", "a")) == ["CLASS-ORDER warning"]
    assert pair(sig("bg", "a", background="bg"), soft("a", "bg", background="bg")) == ["CLASS-ORDER warning"]
    (one,) = check_pair(MisuseCheck(sig("a", "b")), MisuseCheck(soft("a", "c")))
    assert (one.code, one.severity) == ("CLASSES-DIFFER", "error")
    assert "only one of them has b, c" in one.message
    assert pair(sig("a", "b"), soft("a", "b", "road")) == ["CLASSES-DIFFER error"]
    assert pair(sig(), soft("a", "b")) == []  # nothing was declared to compare with


def test_a_pair_must_be_of_the_same_images():
    one, other = MisuseCheck(sig()), MisuseCheck(soft())
    one.add(logits())
    assert check_pair(one, other) == ()
    other.add(logits()[:, :, 1:])
    (found,) = check_pair(one, other)
    assert (found.code, found.severity) == ("IMAGES-DIFFER", "error")
    assert "sigmoid has 2 images with 3,360 pixels, softmax has 2 images with 3,276 pixels" in found.message


# Networks that are loaded -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["exclusive", "binary", "overlapping"])
def test_logits_of_our_heads_are_silent_and_an_activation_before_them_is_not(kind):
    names = ("vessel",) if kind == "binary" else ("a", "b", "c")
    counts = {(): 9, (0,): 5, (1,): 4, (2,): 3, (0, 1): 2} if kind == "overlapping" else None
    for spec in head_specs(kind, names, set_counts=counts):
        sound, wrong = head_check(spec), head_check(spec)
        sound.add(network(len(spec.channels), gain=30).numpy())
        assert sound.findings() == ()
        wrong.add(network(len(spec.channels), "softmax2d" if spec.is_softmax else "sigmoid", gain=30).numpy())
        assert codes(wrong.findings()) == ["PROBABILITIES-AS-LOGITS error"]


# Files --------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(hnp.floating_dtypes() | hnp.boolean_dtypes(), SHAPES), st.sampled_from("CF"), st.booleans())
def test_arrays_come_back_from_files_image_by_image(outputs, order, packed):
    array = np.asarray(outputs, order=order)
    with tempfile.NamedTemporaryFile() as file:
        (np.savez_compressed if packed else np.save)(file, array)
        file.flush()
        back = list(read_outputs(Path(file.name)))
    if outputs[:1].size:
        np.testing.assert_array_equal(np.stack(back), outputs)
    else:
        assert sum(image.size for image in back) == 0


def test_a_npz_holds_an_image_an_array(tmp_path):
    z = logits()
    np.savez(tmp_path / "z.npz", first=z[0], second=z[1, :, 1:])
    first, second = read_outputs(tmp_path / "z.npz")
    np.testing.assert_array_equal(first, z[0])
    np.testing.assert_array_equal(second, z[1, :, 1:])


def claim(shape, *, descr="<f4", version=1):
    """A .npy that claims a shape and holds 8 bytes."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY" + struct.pack("<BBH" if version == 1 else "<BBI", version, 0, len(header)) + header + bytes(8)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "neither .npy nor .npz"),
        (b"", "neither .npy nor .npz"),
        (claim((2, 3, 3)), "is cut short"),
        (claim((3,)), "must be (C, H, W)"),
        (claim((2, 1, 1), descr="|O"), "Python objects"),
        (claim((2, 1, 1), descr="<c8"), "real numbers"),
        (claim((2, 1, 1), descr="|V2"), "real numbers"),  # bfloat16
        (claim((-2, 1, 1)), "negative length"),
        (claim((1, 10**6, 10**6)), "are read at once"),
        (claim((10**9, 1, 1, 1)), "is cut short"),
        (claim((10**7, 1, 1)), "1 to 4,096 channels"),
        (claim((2, 1, 1), version=3), "format version"),
        (claim((2, 1, 1))[:60], "cannot be read"),
        (b"PK\x03\x04" + bytes(50), "cannot be read"),
    ],
)
def test_damaged_and_hostile_files_are_refused_in_one_line(content, said, tmp_path):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(PipelineError, match=re.escape(said)) as refused:
        list(read_outputs(tmp_path / "x.npy"))
    assert str(refused.value).isprintable()
    assert "x.npy" in str(refused.value)


def test_a_billion_images_without_a_pixel_take_no_time(tmp_path):
    (tmp_path / "x.npy").write_bytes(claim((10**9, 2, 0, 3)))
    assert len(list(read_outputs(tmp_path / "x.npy"))) == 1


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", np.array([print], object), allow_pickle=True)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DatasetError, match="never unpickled"):
            list(read_outputs(tmp_path / name))


def test_bytes_that_flip_or_are_missing_end_in_one_line_or_in_arrays(tmp_path):
    rng = np.random.default_rng(0)
    path, refused, whole = tmp_path / "x", [], 0
    for save in (np.save, np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, logits(size=(5, 5)))
        sound = stream.getvalue()
        for _ in range(150):
            damaged = bytearray(sound)
            damaged[rng.integers(min(len(sound), 400))] = rng.integers(256)
            path.write_bytes(damaged[: rng.integers(len(sound))] if rng.random() < 0.3 else damaged)
            try:
                whole += len(list(read_outputs(path))) > 0
            except PipelineError as error:
                refused.append(str(error))
    assert whole > 50
    assert len(refused) > 200
    assert all(line.isprintable() and line.startswith("x") for line in refused)


def test_zip_bombs_are_bounded(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "zeros.npz", np.zeros((64, 1, 256, 256), np.float32))  # 16 MB in 16 kB
    tracemalloc.start()
    check = MisuseCheck(declared("sigmoid", "probabilities"))
    for image in read_outputs(tmp_path / "zeros.npz"):
        check.add(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert check.evidence.images == 64
    assert peak < 6e6  # one image of 262 kB, and its blocks
    packed = bytearray((tmp_path / "zeros.npz").read_bytes())
    entry = packed.index(b"PK\x01\x02")
    struct.pack_into("<I", packed, entry + 24, 2**32 - 2)  # the size it claims to have unpacked
    (tmp_path / "claims.npz").write_bytes(packed)
    monkeypatch.setattr(arrays, "ARCHIVE_BYTES", 2**32 - 3)
    with pytest.raises(DatasetError, match="split it into several files"):
        list(read_outputs(tmp_path / "claims.npz"))
    monkeypatch.setattr(arrays, "ARCHIVE_ARRAYS", 0)
    with pytest.raises(DatasetError, match="split it into several files"):
        list(read_outputs(tmp_path / "zeros.npz"))
    monkeypatch.undo()
    monkeypatch.setattr(arrays, "IMAGE_BYTES", 2**18 - 1)
    with pytest.raises(DatasetError, match="save every image as its own array"):
        list(read_outputs(tmp_path / "zeros.npz"))


def test_a_npz_with_something_else_in_it_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("read\nme.txt", "hello")
    with pytest.raises(DatasetError, match=r"x.npz/read me.txt is not an array"):
        list(read_outputs(tmp_path / "x.npz"))


# Command line -------------------------------------------------------------------------------------------------------


def call(monkeypatch, capsys, *arguments):
    """Exit status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["pipelines", "check-outputs", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return ended.value.code or 0, said.out, said.err


@pytest.fixture
def saved(tmp_path):
    """sound.npy: a softmax's probabilities; twice.npy: softmaxed again; vessel.npz: a sigmoid's, one array an image."""
    z = logits(classes=2)
    np.save(tmp_path / "sound.npy", softmax(z, axis=1))
    np.save(tmp_path / "twice.npy", softmax(softmax(z, axis=1), axis=1))
    np.savez_compressed(tmp_path / "vessel.npz", *expit(z[:, 1:]))
    return tmp_path


def test_sound_files_end_with_0_and_say_what_they_hold(saved, monkeypatch, capsys):
    status, said, _ = call(monkeypatch, capsys, saved / "sound.npy", "--head", "softmax", "--values", "probabilities")
    assert status == 0
    first, second = said.splitlines()
    assert first.startswith("softmax probabilities: 2 images, 3,360 pixels, 2 channels, values ")
    assert second == "  nothing speaks against what was declared"


def test_errors_end_with_2_and_cautions_with_0_each_on_a_line(saved, monkeypatch, capsys):
    options = ("--head", "softmax", "--values", "probabilities")
    status, said, _ = call(monkeypatch, capsys, saved / "twice.npy", *options)
    assert status == 2
    assert [line.split(":")[0] for line in said.splitlines()[1:]] == ["  error   ACTIVATION-TWICE"]
    options = ("--head", "sigmoid", "--values", "probabilities")
    status, said, _ = call(monkeypatch, capsys, saved / "sound.npy", *options)
    assert status == 0
    assert [line.split(":")[0] for line in said.splitlines()[1:]] == ["  warning SOFTMAX-AS-SIGMOID"]


def test_a_pair_is_checked_head_by_head_and_against_each_other(saved, monkeypatch, capsys):
    sigmoid = (saved / "vessel.npz", "--head", "sigmoid", "--values", "probabilities", "--classes", "vessel")
    against = ("--against", saved / "sound.npy", "--against-classes", "background,vessel")
    status, said, _ = call(monkeypatch, capsys, *sigmoid, *against, "--background", "background")
    assert status == 0
    assert said.splitlines()[-2:] == ["the pair", "  nothing speaks against what was declared"]
    status, said, _ = call(monkeypatch, capsys, *sigmoid, *against, "--json")
    assert status == 2
    report = json.loads(said)
    assert [one["head"] for one in report["heads"]] == ["sigmoid", "softmax"]
    assert [one["code"] for one in report["pair"]] == ["BACKGROUND-IN-ONE-HEAD"]
    status, said, _ = call(monkeypatch, capsys, *sigmoid, *against, "--against-values", "logits")
    assert "PROBABILITIES-AS-LOGITS" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.npy"], "nowhere.npy is not there"),
        (["."], "cannot be read"),
        (["cut.npy"], "cut.npy is cut short"),
        (["pickled.npy"], "never unpickled"),
        (["sound.npy", "--background", "bg"], "none of the channels"),
        (["sound.npy", "--classes", "a,a"], "class names must differ"),
        (["sound.npy", "--against-classes", "a,b"], "give those too"),
        (["sound.npy", "vessel.npz"], "vessel.npz: all images of a head"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, said, saved, monkeypatch, capsys):
    monkeypatch.chdir(saved)
    (saved / "cut.npy").write_bytes((saved / "sound.npy").read_bytes()[:700])
    np.save(saved / "pickled.npy", np.array([{}], object), allow_pickle=True)
    status, _, error = call(monkeypatch, capsys, *arguments, "--head", "softmax", "--values", "probabilities")
    assert status == 2
    last = error.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last


def test_head_and_values_are_never_guessed(saved):
    options = {"--head": "softmax", "--values": "probabilities"}
    for left_out in options:
        given_ = [word for name, value in options.items() if name != left_out for word in (name, value)]
        done = CliRunner().invoke(cli.app, ["check-outputs", str(saved / "sound.npy"), *given_])
        assert done.exit_code == 2
        assert f"Missing option '{left_out}'" in done.output


def test_the_check_starts_without_torch():
    code = "import sys, pipelines.imports.check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPO, check=False).returncode == 0


def test_every_code_is_explained_in_the_documents():
    source = (REPO / "pipelines" / "misuse.py").read_text()
    known = set(re.findall(r'(?:_error|_warning|report)\(\s*"([A-Z-]+)"', source))
    assert len(known) >= 15
    text = (REPO / "docs" / "misuse.md").read_text()
    assert known == set(re.findall(r"^\| `([A-Z-]+)` \|", text, re.MULTILINE))
