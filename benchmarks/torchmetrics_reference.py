"""torchmetrics' confusion, calibration errors and curves of the images that are counted: time and answers."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torchmetrics import classification as reference

from benchmarks.counting import CLASS_BY_CLASS
from benchmarks.made_up import CLASSES, Image

CURVES = "precision and recall at 100 thresholds"


def tensors(image: Image) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-odds and p, (1, C, H, W) float32, and truth, (1, H, W), of one image."""
    log_odds = torch.from_numpy(image.log_odds.astype(np.float32))[None]
    return log_odds, torch.sigmoid(log_odds.double()).float(), torch.from_numpy(image.truth)[None]


def _tasks(bins: int, thresholds: Sequence[float]) -> dict[str, tuple[list[Any], Callable[[list[Any], Any], None]]]:
    """By name: metrics, and how an image's tensors go into them."""
    options = {"ignore_index": -1, "validate_args": False}
    at = torch.tensor(thresholds)

    def whole(metrics: list[Any], data: Any) -> None:
        metrics[0].update(data[1], data[2])

    def by_log_odds(metrics: list[Any], data: Any) -> None:
        metrics[0].update(data[0], data[2])  # float32 p tie near 1 where float16 log-odds do not

    def each_class(metrics: list[Any], data: Any) -> None:
        _, p, truth = data
        for c, metric in enumerate(metrics):
            metric.update(p[:, c], torch.where(truth < 0, -1, (truth == c).long()))

    return {
        "confusion": ([reference.MulticlassConfusionMatrix(CLASSES, **options)], by_log_odds),
        "classwise_ece": ([reference.BinaryCalibrationError(bins, **options) for _ in range(CLASSES)], each_class),
        "top_label_ece": ([reference.MulticlassCalibrationError(CLASSES, bins, **options)], whole),
        CURVES: ([reference.MulticlassPrecisionRecallCurve(CLASSES, at, **options)], whole),
        CURVES + CLASS_BY_CLASS: (
            [reference.BinaryPrecisionRecallCurve(at, **options) for _ in range(CLASSES)],
            each_class,
        ),
    }


def run(
    images: Sequence[Image], *, bins: int, thresholds: Sequence[float], threads: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Seconds of updating image by image and of the result, and the answers; making tensors and p is not counted."""
    torch.set_num_threads(threads)
    taken, answers = {}, {}
    for name, (metrics, update) in _tasks(bins, thresholds).items():
        seconds = 0.0
        for image in images:
            data = tensors(image)
            start = time.perf_counter()
            update(metrics, data)
            seconds += time.perf_counter() - start
        start = time.perf_counter()
        results = [metric.compute() for metric in metrics]
        seconds += time.perf_counter() - start
        taken[name] = seconds
        answers[name] = _as_array(name, results)
    return taken, answers


def in_float64(images: Sequence[Image], *, bins: int) -> dict[str, np.ndarray]:
    """classwise_ece (C,) and top_label_ece () from p in float64.

    torchmetrics adds up in the type of p, and in float32 a sum over millions of pixels keeps three digits. Its
    multiclass metric always turns p into float32; the largest p against whether the argmax is right is the same metric.
    """
    metrics = [reference.BinaryCalibrationError(bins, ignore_index=-1, validate_args=False) for _ in range(CLASSES + 1)]
    for image in images:
        log_odds, _, truth = tensors(image)
        p = torch.sigmoid(log_odds.double())[0]
        for c in range(CLASSES):
            metrics[c].update(p[c], torch.where(truth[0] < 0, -1, (truth[0] == c).long()))
        right = log_odds[0].argmax(dim=0) == truth[0]
        metrics[CLASSES].update(p.max(dim=0).values, torch.where(truth[0] < 0, -1, right.long()))
    errors = np.array([float(metric.compute()) for metric in metrics])
    return {"classwise_ece": errors[:CLASSES], "top_label_ece": errors[CLASSES]}


def _as_array(name: str, results: list[Any]) -> np.ndarray:
    if name == CURVES:  # one result, (precision, recall, thresholds), each with a class axis
        return np.stack([results[0][k].numpy()[:, :-1] for k in (0, 1)])
    if name.startswith(CURVES):  # (precision, recall, thresholds); a last point (1, 0) is added by torchmetrics
        return np.stack([np.stack([one[k].numpy()[:-1] for one in results]) for k in (0, 1)])
    return results[0].numpy() if len(results) == 1 else np.array([float(one) for one in results])
