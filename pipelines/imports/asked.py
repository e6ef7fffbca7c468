"""What the commands `import` and `import-model` share: the run's name, channel names, and the import itself."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pipelines import config as settings
from pipelines.errors import ConfigError
from pipelines.progress import Progress
from pipelines.reading import DataReading
from pipelines.schema import Head

if TYPE_CHECKING:
    from pipelines.imports.sources import OutputSource


def one_name(run: str | None, name: str | None, *, command: str) -> str:
    """The run's name, said as NAME, as --name, or as both alike. Raises ConfigError."""
    if run is None and name is None:
        raise ConfigError(f"the run has no name yet; give one, such as `python -m pipelines {command} my-networks …`")
    if None not in (run, name) and run != name:
        raise ConfigError(f"the run is called {run} and --name {name}; give one of them")
    return str(run or name)


def names(classes: str | None) -> tuple[str, ...] | None:
    """Comma-separated names of channels."""
    return None if classes is None else tuple(name.strip() for name in classes.split(","))


@dataclass(frozen=True)
class Import:
    """Where the truth lies and what is measured. evaluation: values of config.EvaluationConfig."""

    name: str
    dataset: str
    reading: DataReading | None
    evaluation: dict[str, Any]
    runs: Path
    resume: bool
    record: Path | None

    @property
    def place(self) -> Path:
        """Folder of the data set."""
        return Path(self.dataset).expanduser().resolve()

    def make(self, sources: "Mapping[Head, Mapping[int, OutputSource]]", imported: dict[str, Any]) -> None:
        """Import, listed among the jobs meanwhile, and print the verdict. imported: values of config.ImportConfig."""
        from pipelines.imports.predictions import make_import
        from pipelines.jobs.foreground import listed
        from pipelines.verdict import Verdict

        config = settings.build(
            settings.RunConfig,
            {
                "dataset": str(self.place), "reading": self.reading, "training": None, "imported": imported,
                "evaluation": self.evaluation,
            },
        )  # fmt: skip
        with listed(self.runs, self.name):  # which says where the progress is kept
            progress = Progress(record=self.record, stream=sys.stderr)
            done = make_import(
                config, sources, runs=self.runs, name=self.name, progress=progress, resume=self.resume
            )  # fmt: skip
        typer.echo(Verdict.model_validate(done.verdict).text())
        typer.echo(f"\n{done.folder}\nOpen it with: streamlit run dashboard/app.py")
