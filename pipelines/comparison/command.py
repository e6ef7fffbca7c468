"""A run's settings to the command that trains the same with another loss."""

import shlex
from typing import Any, Final

from pipelines.config import Loss, RunConfig, build

_DEFAULTS: Final = RunConfig(dataset="")
# Options of `run` for what decides which networks are trained, by the name of the setting.
_TRAINING: Final = {
    "epochs": "--epochs", "size": "--size", "crop": "--crop", "architecture": "--architecture", "encoder": "--encoder",
    "encoder_weights": "--encoder-weights", "batch_size": "--batch-size", "learning_rate": "--lr",
    "softmax_rule": "--softmax-rule", "priority": "--priority", "precision": "--precision",
}  # fmt: skip
_EVALUATION: Final = {"splits": "--splits", "boundary_width": "--boundary-width", "replicates": "--replicates"}


def run_command(config: dict[str, Any], loss: Loss) -> str:
    """Such as "python -m pipelines run cells --loss dice --seeds 0,1,2 --epochs 5".

    config: config.json of a run. Settings that are the command's own defaults are left out, and so are those that no
    option of the command sets. Raises ConfigError when it is no run's settings, or those of an import.
    """
    known: RunConfig = build(RunConfig, config)
    training = known.trained
    words = ["python", "-m", "pipelines", "run", known.dataset, "--loss", loss]
    words += ["--seeds", ",".join(map(str, training.seeds))]
    for group, options in (("training", _TRAINING), ("evaluation", _EVALUATION)):
        mine, usual = getattr(known, group), getattr(_DEFAULTS, group)
        for name, flag in options.items():
            value = getattr(mine, name)
            if name == "learning_rate" and training.learning_rates:
                value = ",".join(f"{head}={rate:g}" for head, rate in training.learning_rates.items())
            if value != getattr(usual, name):
                words += [flag, _written(value, name)]
    if not training.augment:
        words.append("--no-augment")
    return shlex.join(words)


def _written(value: Any, name: str) -> str:
    if isinstance(value, tuple):
        return ("x" if name in ("size", "crop") else ",").join(map(str, value))
    return str(value)
