"""What runs share however their outputs came about: the plan noted at the start, and how a run is finished."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

from pipelines import evaluation
from pipelines.config import RunConfig, TrainingConfig
from pipelines.datasets import listing
from pipelines.datasets.check import LEAVE_OUT, CheckReport
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.errors import ConfigError, DatasetError
from pipelines.heads import HeadSpec
from pipelines.progress import Progress
from pipelines.reading import DataReading
from pipelines.schema import HEADS, SPLITS, Head, Split
from pipelines.sentences import count_of
from pipelines.store import files
from pipelines.store.manage import RunWriter
from pipelines.store.runs import Run
from pipelines.verdict.rule import decide

PLAN = "plan.json"
Normalisation: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
_CHANGED: Final = (
    "the data set has changed since the run was begun: {}. "
    "Put it back as it was, or start a new run under another --name"
)
_NAMED_FILES: Final = 3  # of those that were written since a run was begun


class Plan:
    """What was noted when a run was begun: settings, data set, heads and, of networks, the input normalisation."""

    def __init__(self, folder: Path) -> None:
        noted = read_plan(folder)
        with files.reading(folder / PLAN):
            self.config = RunConfig.model_validate(noted["config"])
            models = noted["settings"].get("models")
            self.models = None if models is None else Path(models)
            self.specs = [HeadSpec.model_validate(spec) for spec in noted["specs"]]
            self._normalisation = noted["normalisation"]
            self.fingerprint: str = noted["fingerprint"]
            self.groups: dict[str, str] = noted["groups"]
            self._crop = noted["crop"]
            # Plans of before say nothing of splits.
            self._splits: Mapping[Split, list[str]] = noted.get("splits", {})
        self._folder = folder

    @property
    def training(self) -> TrainingConfig:
        """Settings of the training with the crop that fits the images. Raises ConfigError for an import."""
        return self.config.trained.model_copy(update={"crop": tuple(self._crop)})

    @property
    def normalisation(self) -> Normalisation:
        """Mean and deviation of each band of the input. Raises ConfigError for an import."""
        if self._normalisation is None:
            raise ConfigError("this run was imported; how its networks' input was normalised is not known here")
        mean, std = self._normalisation
        return tuple(mean), tuple(std)

    @cached_property
    def dataset(self) -> Dataset:
        """The data set, opened when it is first needed. Raises DatasetError unless its splits are those of the plan."""
        dataset = open_dataset(self.config.dataset, self.config.reading)
        for split, names in self._splits.items():
            if list(dataset.images(split)) != names:
                raise DatasetError(_CHANGED.format(f"{split} lists other images"))
        other = self._other_bands(dataset)
        if other is not None:
            raise DatasetError(_CHANGED.format(other))
        return dataset

    def check_unchanged(self, *, during: bool = False) -> None:
        """Compare the data set, as it lies on the disk now, with the one the run was begun with.

        during: work was done on it since it was last compared. Where it has changed, nobody can tell what was made of
        which state of it, so the attempt is given up for good, even if the files are put back.
        Raises DatasetError when it has changed, or had while an attempt was at work.
        """
        noted = read_plan(self._folder)
        if "changed" in noted:
            raise DatasetError(f"{noted['changed']}. Start a new run under another --name")
        try:
            dataset = open_dataset(self.config.dataset, self.config.reading)
            other = self._other_bands(dataset)
            if other is None and self.fingerprint == dataset.fingerprint():
                return
            written = _written_since(dataset, self._folder / PLAN)
            why = other or f"its files are not those the run was begun with{written}"
        except DatasetError as error:
            why = str(error)
        if during:
            changed = f"the data set changed while this run was made: {why}"
            files.write_sealed(self._folder / PLAN, noted | {"changed": changed})
            raise DatasetError(f"{changed}. Nothing of it is shown; start a new run under another --name")
        raise DatasetError(_CHANGED.format(why))

    def _other_bands(self, dataset: Dataset) -> str | None:
        """That images have another number of bands than the run was begun with; None where they do not."""
        begun = dataset.bands.count if self._normalisation is None else len(self._normalisation[0])
        if begun == dataset.bands.count:
            return None
        return f"its images are read with {count_of(dataset.bands.count, 'band')}, and the run was begun with {begun}"

    @property
    def heads(self) -> list[Head]:
        """Contenders, in the order of schema.HEADS."""
        present = {spec.head for spec in self.specs}
        return [head for head in HEADS if head in present]


def _written_since(dataset: Dataset, file: Path) -> str:
    """The first files of a data set that are newer than a file, in brackets; nothing where none is."""
    newer = [path for path in sorted(dataset.files()) if path.stat().st_mtime > file.stat().st_mtime]
    names = ", ".join(listing.shown(path, dataset.root) for path in newer[:_NAMED_FILES])
    more = f" and {len(newer) - _NAMED_FILES} more" if len(newer) > _NAMED_FILES else ""
    return f" (written since: {names}{more})" if newer else ""


def begun_before(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether an earlier attempt has noted its plan here. Raises ConfigError when that was of other settings."""
    if not (folder / PLAN).exists():
        return False
    if read_plan(folder)["settings"] != settings:
        raise ConfigError(
            "the run to resume was begun with other settings; repeat its command with --resume, or start a new "
            "run under another --name"
        )
    Plan(folder).check_unchanged()
    return True


def read_plan(folder: Path) -> dict[str, Any]:
    """plan.json. Raises RunError when it, or what was written with it, is missing or has changed since."""
    plan = files.read_sealed(folder / PLAN)
    for name, known in plan.get("sha256", {}).items():  # plans of before these were kept have none
        files.check_sha256(folder / name, known)
    return plan


def check_ok(report: CheckReport) -> None:
    """Raise DatasetError with the first error of a check, how many more there are, and how to go on without."""
    errors = [finding for finding in report.findings if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more: see `python -m pipelines check`)" if len(errors) > 1 else ""
        way = "".join(f"; {finding.message}" for finding in report.findings if finding.code == LEAVE_OUT)
        raise DatasetError(f"{errors[0].code}: {errors[0].message}{more}{way}")


def spelt_out(config: RunConfig, dataset: Dataset) -> RunConfig:
    """Settings that say everything about how the data set is read, so that later openings read it the same way."""
    reading = dataset.spec
    return config if reading == DataReading(format="native") else config.model_copy(update={"reading": reading})


def note_plan(
    folder: Path,
    *,
    settings: dict[str, Any],
    config: RunConfig,
    report: CheckReport,
    dataset: Dataset,
    fingerprint: str,
    specs: list[HeadSpec],
    **notes: Any,
) -> None:
    """Write what a run is begun with; plan.json comes last, so that a plan is whole where there is one.

    fingerprint: of the data set before it was read for the first time.
    """
    files.write_json(folder / "dataset.json", report.model_dump(mode="json"))
    files.write_json(folder / "config.json", config.model_dump(mode="json"))
    plan: dict[str, Any] = {
        "settings": settings,
        "config": config.model_dump(mode="json"),
        "fingerprint": fingerprint,
        "splits": {split: list(dataset.images(split)) for split in SPLITS},
        "normalisation": None,
        "specs": [spec.model_dump(mode="json") for spec in specs],
        "groups": dict(dataset.groups),
        "crop": None,
    }
    _write_plan(folder, plan | notes)


def _write_plan(folder: Path, plan: dict[str, Any]) -> None:
    noted = {name: files.sha256(folder / name) for name in ("dataset.json", "config.json")}
    files.write_sealed(folder / PLAN, plan | {"sha256": noted})


def add_to_plan(folder: Path, seeds: Sequence[int]) -> None:
    """Have the networks of a run in the making trained with more seeds. Nothing changes where the plan has them.

    Raises ConfigError for a run whose networks were not trained here.
    """
    plan = read_plan(folder)
    config = Plan(folder).config
    if config.training is None or plan["settings"].get("models") is not None:
        raise ConfigError("the networks of this run were trained elsewhere; import them again with more seeds")
    every = tuple(sorted({*config.training.seeds, *seeds}))
    for settings in (plan["config"], plan["settings"]["config"]):
        settings["training"]["seeds"] = list(every)
    files.write_json(folder / "config.json", plan["config"])
    _write_plan(folder, plan)


def finish(writer: RunWriter, progress: Progress, *, recount: bool = False) -> Run:
    """Count, measure, judge and commit.

    recount: of a whole run, whose data set may have moved or changed since; the stored predictions have not.
    Raises DatasetError when the data set has changed while the run was made.
    """
    plan = Plan(writer.folder)
    seeds = plan.config.seeds
    dataset: dict[str, Any] = files.read_json(writer.folder / "dataset.json")
    truth = evaluation.Truth(dataset["kind"], tuple(dataset["classes"]), dataset["background"], plan.groups)
    facts = evaluation.evaluate(
        writer.folder, truth, plan.config.evaluation,
        contenders=plan.heads, seeds=seeds, splits=plan.config.evaluation.splits, progress=progress,
    )  # fmt: skip
    metrics = files.read_table(writer.folder / "metrics.parquet").to_pandas()
    verdict = decide(dataset, metrics, facts)
    files.write_json(writer.folder / "verdict.json", verdict.model_dump(mode="json"))
    if not recount:
        plan.check_unchanged(during=True)
    with progress.stage("commit", 0):  # a job in this stage is not killed (pipelines.job_queue)
        place = writer.commit(
            state="done",
            config=plan.config.model_dump(mode="json"),
            seeds=list(seeds),
            data_fingerprint=plan.fingerprint,
        )
    return Run(place)
