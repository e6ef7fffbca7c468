"""Options and hardware to an Accelerator: which device, and which precision on it."""

from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from pipelines.config import Device, Precision
from pipelines.errors import ConfigError


def make_accelerator(device: Device, precision: Precision) -> Accelerator:
    """The Accelerator that trains on the chosen device and precision.

    auto: cuda before mps before cpu; bf16 where the hardware computes in it, else fp32.
    Raises ConfigError when the device or precision is not there.
    """
    chosen = _device(device)
    resolved = _precision(chosen, precision)
    # Its state is one per process and refuses other settings than the first ones: each training brings its own.
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(mixed_precision="bf16" if resolved == "bf16" else "no", cpu=chosen == "cpu")
    except ValueError as error:
        raise ConfigError(f"precision {resolved} does not work on {chosen}: {error}; use fp32") from None
    if accelerator.num_processes > 1:
        raise ConfigError(f"training runs in one process, got {accelerator.num_processes}; start it without a launcher")
    return accelerator


def _device(device: Device) -> Literal["cpu", "cuda", "mps"]:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there[device]:
        raise ConfigError(f"device {device} is not available here; use auto or cpu")
    return device


def _precision(device: Literal["cpu", "cuda", "mps"], precision: Precision) -> Literal["bf16", "fp32"]:
    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    # Without these instructions bf16 on a CPU is emulated, and slower than fp32.
    fast = device == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bf16" if fast else "fp32"
