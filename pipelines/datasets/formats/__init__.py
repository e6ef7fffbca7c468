"""Formats of data sets: one module or package each, and the registry of them."""

from dataclasses import replace
from typing import Final

from pipelines.datasets import native_source, orientation
from pipelines.datasets.format import Format
from pipelines.datasets.formats import coco, huggingface, labelme, nnunet, tiff
from pipelines.datasets.formats.masks import colored, indexed, instances, per_class, voc

# In the order in which they are tried: those that are known by a file of their own come first.
_FORMATS: Final[dict[str, Format]] = {
    "native": native_source.FORMAT,
    "nnunet": nnunet.FORMAT,
    "coco": coco.FORMAT,
    "labelme": labelme.FORMAT,
    "huggingface": huggingface.FORMAT,
    "voc": voc.FORMAT,
    "tiff": tiff.FORMAT,
    "indexed": indexed.FORMAT,
    "colored": colored.FORMAT,
    "per_class": per_class.FORMAT,
    "instances": instances.FORMAT,
}
FORMATS: Final[dict[str, Format]] = {
    name: replace(one, options={**one.options, **orientation.OPTIONS}) for name, one in _FORMATS.items()
}
