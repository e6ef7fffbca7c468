"""The registry of formats: modules whose FORMAT says how to know a folder, how to open it and its options."""

from dataclasses import replace
from typing import Final

from pipelines.datasets import orientation
from pipelines.datasets.base import Format
from pipelines.datasets.formats import (
    coco,
    colored,
    huggingface,
    indexed,
    labelme,
    native,
    nnunet,
    per_class,
    tiff,
    voc,
)

# In the order in which they are tried: those that are known by a file of their own come first.
_FORMATS: Final[dict[str, Format]] = {
    "native": native.FORMAT,
    "nnunet": nnunet.FORMAT,
    "coco": coco.FORMAT,
    "labelme": labelme.FORMAT,
    "huggingface": huggingface.FORMAT,
    "voc": voc.FORMAT,
    "tiff": tiff.FORMAT,
    "indexed": indexed.FORMAT,
    "colored": colored.FORMAT,
    "per_class": per_class.FORMAT,
    "instances": per_class.INSTANCES,
}
FORMATS: Final[dict[str, Format]] = {
    name: replace(form, options={**form.options, **orientation.OPTIONS}) for name, form in _FORMATS.items()
}
