"""A reader's file, streamed to the server's disk, to an `Upload` that a page can work with.

For pages:

    from dashboard import upload

    one = upload.uploader("data", "Your data set")     # draws the widget; None until a file is there
    if one is None:
        ...                                             # explain what may be uploaded
    elif one.state == "ready":
        folder = one.root                               # Path: its one top folder, or the folder of everything
    elif one.state == "refused":
        components.problem(one.message)                 # CODE: what was found, what to do

    upload.uploader("model", "Model", kinds=(".onnx", ".safetensors"))   # one file: one.file is its Path
    upload.mine()                                       # this reader's uploads, newest first, also after a reload
    upload.find(id)                                     # one of them, or UploadError
    upload.remove(one)                                  # delete it now
    upload.server_path(text)                            # a path on the server's disk, inside the allowed roots

`Upload`, the limits and `in_use` (which keeps an upload from being swept away while a job reads it) are those of
`pipelines.uploads`. `one.name` is what the reader's machine called the file: show it as text, never use it as a path.
"""

from dashboard.upload.component import find, mine, remove, uploader
from dashboard.upload.owners import owner
from dashboard.upload.server import address, lifespan, middleware, routes
from pipelines.uploads import ARCHIVES, Upload, in_use
from pipelines.uploads import allowed_path as server_path

__all__ = [
    "ARCHIVES",
    "Upload",
    "address",
    "find",
    "in_use",
    "lifespan",
    "middleware",
    "mine",
    "owner",
    "remove",
    "routes",
    "server_path",
    "uploader",
]
