"""Segmentation networks: matched pairs built from options, saved and loaded as files."""

from pipelines.models.build import build_model, build_pair, pad_to_multiple, required_multiple
from pipelines.models.files import HeadFile, Normalisation, Pair, load_model, load_pair, save_model

__all__ = [
    "HeadFile",
    "Normalisation",
    "Pair",
    "build_model",
    "build_pair",
    "load_model",
    "load_pair",
    "pad_to_multiple",
    "required_multiple",
    "save_model",
]
