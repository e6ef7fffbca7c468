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
"""


class PipelineError(Exception):
    """Bad input: the message is one line with what was expected, what came and what to do."""


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
