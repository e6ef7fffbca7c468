"""The sample pair as a command line."""

from typing import Final

from pipelines.jobs.names import ROOT

SAMPLE_RUN: Final = "sample"


def sample_arguments() -> list[str]:
    """Command line of the sample pair: small enough for two CPU cores and a few minutes, three seeds for a verdict."""
    return [
        "run", str(ROOT / "sample_data" / "cells"), "--name", SAMPLE_RUN,
        "--encoder", "tu-resnet10t", "--seeds", "0,1,2", "--epochs", "5", "--size", "96x96", "--batch-size", "4",
        "--loss", "ce+dice", "--lr", "0.002", "--threads", "1",
    ]  # fmt: skip
