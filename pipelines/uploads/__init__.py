"""Strangers' files: where they are kept, what they may be, and how archives become folders (docs/uploads.md)."""

from pipelines.uploads.archives import ARCHIVES, root_of, unpack
from pipelines.uploads.limits import Limits, Quota, allowed_path, data_roots, size_text
from pipelines.uploads.workspace import Receiver, Upload, Uploads, in_use, receiving

__all__ = [
    "ARCHIVES",
    "Limits",
    "Quota",
    "Receiver",
    "Upload",
    "Uploads",
    "allowed_path",
    "data_roots",
    "in_use",
    "receiving",
    "root_of",
    "size_text",
    "unpack",
]
