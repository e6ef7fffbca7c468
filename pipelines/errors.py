"""The exception tree: every error a user can cause is a PipelineError with one line that says what to do.

PipelineError
├── ConfigError      an option or a combination of options that cannot work
├── DatasetError     a data set that cannot be read or is inconsistent
├── RunError         a run that is missing, broken or in the wrong state
│   └── NoSuchRun
├── ShapeError       an array whose shape, dtype or range is not the documented one
├── ModelError       an architecture, encoder or weight file that cannot be used
├── UploadError      an uploaded file, an archive or a path that is refused; nothing of it is kept
└── Cancelled        the user asked to stop; what was done so far can be resumed

A message may begin with a code, such as "SPLIT-EMPTY: …", and names settings as the command line's options, such as
`--size`: these are its parameters. A form words them as its fields (`worded`).
"""

import re
from collections.abc import Mapping
from typing import Final

_CODE: Final = re.compile(r"([A-Z][A-Z-]+): ")
_OPTION: Final = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
_OF_HEAD: Final = re.compile(r"^(sigmoid|softmax|powerset)-")


class PipelineError(Exception):
    """Bad input: the message is one line with what was expected, what came and what to do."""

    @property
    def code(self) -> str:
        """The short name that the message begins with; empty where it has none."""
        match = _CODE.match(str(self))
        return match[1] if match else ""

    @property
    def options(self) -> tuple[str, ...]:
        """Settings that the message names, as options without their dashes."""
        return tuple(dict.fromkeys(_OPTION.findall(str(self))))


class ConfigError(PipelineError):
    """An option, or a combination of options, that cannot work."""


class DatasetError(PipelineError):
    """A data set that cannot be read or contradicts itself."""


class RunError(PipelineError):
    """A run that is missing a part, is damaged or is in the wrong state."""


class NoSuchRun(RunError):
    """There is no run of that name."""


class ShapeError(PipelineError):
    """An array whose shape, dtype or range is not the documented one."""


class ModelError(PipelineError):
    """An architecture, an encoder or a weight file that cannot be used."""


class UploadError(PipelineError):
    """An upload, an archive or a path that is refused: `CODE: what was found. What to do.` says why."""


class Cancelled(PipelineError):
    """The user asked to stop; the work done so far is kept and can be resumed."""


def worded(message: str, fields: Mapping[str, str]) -> str:
    """A message for readers of a form: each option of the command line that it names becomes the form's own field.

    fields: by option without its dashes, such as {"size": "“Image size”"}; an option of one head counts as that of all.
    What the form has no field for stays, said to be of the command line.

    >>> worded("leave --size out, or give more with --memory", {"size": "“Image size”"})
    'leave “Image size” out, or give more with --memory on the command line'
    """

    def field(match: re.Match[str]) -> str:
        name = match[1]
        return fields.get(name) or fields.get(_OF_HEAD.sub("", name)) or f"--{name} on the command line"

    return _OPTION.sub(field, message)
