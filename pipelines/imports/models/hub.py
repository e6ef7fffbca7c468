"""A model's name on the Hugging Face hub to a folder with its two files: config.json and model.safetensors.

Files are fetched by this process, which may hold a token, and opened by another, which may not.
"""

import logging
import re
from pathlib import Path
from typing import Final

from pipelines.errors import ModelError
from pipelines.imports.models.wire import one_line

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES: Final = ("config.json", "model.safetensors")
_SECONDS: Final = 10.0


def is_hub_name(text: str) -> bool:
    """Whether a text can be a name on the hub: an owner, a slash, a model."""
    return _NAME.fullmatch(text) is not None and ".." not in text and "--" not in text


def fetch(name: str) -> Path:
    """The folder of a model's files in the Hugging Face cache, fetched if they are not there.

    Raises ModelError when the hub cannot be reached or has no such model; nothing but the two files is read.
    """
    from huggingface_hub import hf_hub_download  # it takes half a second to import

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would print a line for each retry
    try:
        config, _ = (Path(hf_hub_download(name, file, etag_timeout=_SECONDS)) for file in _FILES)
    except (OSError, ValueError) as error:
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403, 404):
            why = "the hub has no such model, or no config.json and model.safetensors in it, or you may not read it"
        else:
            why = f"it could not be fetched ({one_line(str(error), limit=120)})"
        raise ModelError(
            f"MODEL-HUB: there is no {name} here, and as a model of the Hugging Face hub {why}; correct the path or "
            "the name, or save the model with save_pretrained where there is a network and give that folder"
        ) from None
    return config.parent
