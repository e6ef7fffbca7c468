"""The public interface for notebooks and scripts, and the code of its page."""

import gc
import re
import subprocess
import sys

import numpy as np
import pytest
from places import REPO

from pipelines import compare, open_run
from pipelines.errors import ConfigError, DatasetError, RunError, ShapeError

PAGE = (REPO / "docs" / "notebooks.md").read_text()


def outputs(*, classes=2, images=6, size=24, seed=0):
    """Truth (N, C, H, W), probabilities of a sigmoid and of a softmax with a background's channel, and logits."""
    rng = np.random.default_rng(seed)
    truth = rng.random((images, classes, size, size)) < 0.4
    logits = np.where(truth, 1.5, -1.5) + rng.normal(0, 1.2, truth.shape)
    terms = np.exp(np.concatenate([np.zeros_like(logits[:, :1]), logits], axis=1))
    return truth, 1 / (1 + np.exp(-logits)), terms / terms.sum(axis=1, keepdims=True), logits


def test_the_code_of_the_page_runs(real_runs, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "sample").symlink_to(real_runs / "cells")
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, "docs/notebooks.md", "exec"), names)
    assert set(names["dice"]["head"]) >= {"sigmoid", "softmax"}
    assert names["compared"].heads == ("sigmoid", "softmax")


def test_the_package_alone_loads_no_library():
    code = (
        "import sys, pipelines; print([name for name in ('numpy', 'pandas', 'torch', 'numba') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO).stdout.strip() == "[]"


def test_dice_of_arrays_is_that_of_their_decisions_and_the_run_goes_with_its_name():
    truth, p, q, _ = outputs()
    run = compare(truth, sigmoid=p, softmax=q, classes=["cell", "nucleus"], replicates=100)
    for head, called in (("sigmoid", p > 0.5), ("softmax", q[:, 1:] > 0.5)):
        both, either = (called & truth).sum(axis=(0, 2, 3)), (called.sum(axis=(0, 2, 3)) + truth.sum(axis=(0, 2, 3)))
        rows = run.estimates(metric="dice", head=head, class_=["cell", "nucleus"])
        assert rows["value"].to_numpy() == pytest.approx(2 * both / either)
    assert run.verdict().contender == "softmax"
    folder = run.folder
    del run, rows
    gc.collect()
    assert not folder.exists()


def test_logits_give_what_probabilities_give_and_a_named_folder_keeps_the_run(tmp_path):
    truth, p, _, z = outputs(classes=1)
    valid = np.ones((len(truth), 24, 24), bool)
    valid[0, :12] = False
    splits = ["val", "val", "test", "test", "test", "test"]
    more = {"valid": valid, "splits": splits, "replicates": 100, "runs": tmp_path, "groups": list("aabbcc")}
    given = compare(truth, sigmoid=p, name="p", **more)
    compare(truth, sigmoid=z, values="logits", name="z", **more)
    again = open_run(tmp_path / "z")
    assert again.splits == ("test", "val")
    dice = [run.estimates(metric="dice", class_="macro")["value"].item() for run in (given, again)]
    assert dice[0] == pytest.approx(dice[1])
    assert again.dataset["kind"] == "binary"


def test_whole_numbers_are_exclusive_classes_and_label_sets_have_names():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, (3, 24, 24))
    z = np.where(labels[:, None] == np.arange(3).reshape(1, -1, 1, 1), 1.5, -1) + rng.normal(0, 1, (3, 3, 24, 24))
    run = compare(labels, softmax=z, values="logits", replicates=100)
    assert run.dataset["kind"] == "exclusive"
    assert run.dataset["classes"] == ["class 0", "class 1", "class 2"]
    truth, _, q, _ = outputs()
    run = compare(truth, label_sets=q, label_set_channels=["background", "a", "b"], classes="ab", replicates=100)
    assert run.heads == ("softmax-powerset",)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"sigmoid": None}, ConfigError, "nothing to compare"),
        ({"classes": ["a"]}, ConfigError, "truth has 2 classes, classes names 1"),
        ({"softmax": np.zeros((6, 5, 24, 24))}, ConfigError, "softmax has 5 channels, 2 are named"),
        ({"softmax": np.zeros((5, 2, 24, 24))}, ShapeError, "softmax must be .N, K, H, W. like truth"),
        ({"truth": np.full((6, 2, 24, 24), 0.5)}, ShapeError, "must hold 0 and 1 only"),
        ({"truth": np.zeros((24, 24))}, ShapeError, "truth must be"),
        ({"valid": np.zeros((6, 24))}, ShapeError, "valid must be"),
        ({"groups": ["a"]}, ShapeError, "groups must have one entry an image, 6, got 1"),
        ({"values": "logits", "sigmoid": np.full((6, 2, 24, 24), np.nan)}, DatasetError, "NOT-FINITE"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(change, error, words):
    truth, p, _, _ = outputs()
    given = {"truth": truth, "sigmoid": p} | change
    with pytest.raises(error, match=words):
        compare(given.pop("truth"), **given)


def test_a_folder_without_a_run_is_said_to_be_none(tmp_path):
    with pytest.raises(RunError):
        open_run(tmp_path / "nothing")
