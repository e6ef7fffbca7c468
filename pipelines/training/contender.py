"""One head in training: its network, loss, optimizer, learning rate at each step, and its best weights so far."""

import math
from typing import Any, Final

import torch
from torch import Tensor, nn

from pipelines.config import TrainingConfig
from pipelines.heads import HeadSpec
from pipelines.losses import loss_function
from pipelines.schema import Head

MAX_GRADIENT_NORM: Final = 5.0
_WARMUP_STEPS: Final = 100


def schedule(step: int, total: int) -> float:
    """Share of the base learning rate at a step (0-based): linear warm-up, then half a cosine. In (0, 1]."""
    warmup = min(_WARMUP_STEPS, max(1, total // 20))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


class Contender:
    """One head and everything that learns with it. Heads differ in spec, loss form and, if asked for, base rate."""

    def __init__(
        self, spec: HeadSpec, network: nn.Module, config: TrainingConfig, *, total: int, device: torch.device
    ) -> None:
        self.spec = spec
        self.network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.loss = loss_function(config.loss, spec)
        self._base, self._total = config.learning_rate_of(spec.head), total
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self._base, weight_decay=config.weight_decay, fused=True
        )
        self.best_epoch = 0
        self.best_score: float | None = None
        self.best_weights: dict[str, Tensor] = {}

    @property
    def head(self) -> Head:
        """Name of the head."""
        return self.spec.head

    def clip(self) -> Tensor:
        """Scale the gradient down to MAX_GRADIENT_NORM if it is longer; returns its length before."""
        return nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)

    def update(self, step: int) -> float:
        """Change the weights; returns the learning rate, a pure function of the step."""
        rate = self._base * schedule(step, self._total)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return rate

    def keep(self, epoch: int, score: float | None, *, last: bool) -> None:
        """Keep the weights if this epoch is the best, the first of equals; without any score, if it is the last."""
        better = score is not None and (self.best_score is None or score > self.best_score)
        if better or (last and not self.best_weights):
            self.best_epoch, self.best_score = epoch, score
            values = self.network.state_dict()
            self.best_weights = {name: value.detach().to("cpu", copy=True) for name, value in values.items()}

    def state(self, *, finished: bool) -> dict[str, Any]:
        """What a checkpoint needs; once finished, only the result."""
        state: dict[str, Any] = {
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "best_weights": self.best_weights,
        }
        if not finished:
            state |= {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        self.best_epoch, self.best_score = state["best_epoch"], state["best_score"]
        self.best_weights = state["best_weights"]
        if "network" in state:
            self.network.load_state_dict(state["network"])
            self._optimizer.load_state_dict(state["optimizer"])
