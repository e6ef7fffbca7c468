"""A request carried out, whoever made it: a command in a terminal, a form, a job in the background, or code.

execute(RunRequest(dataset="sample_data/cells", name="cells"), Progress(stream=sys.stderr), runs=Path("runs"))
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.config import ImportConfig, RunConfig, build
from pipelines.errors import ConfigError
from pipelines.progress import Progress, cancel_on_signals
from pipelines.requests import (
    SAMPLE_RUN,
    AddSeedsRequest,
    CheckRequest,
    EstimateRequest,
    EvaluateRequest,
    ExportRequest,
    ImportRequest,
    ModelImportRequest,
    PredictRequest,
    Request,
    RunRequest,
    SampleRequest,
    TrainRequest,
    sample_request,
)
from pipelines.schema import Head
from pipelines.store import files
from pipelines.store.files import check_name
from pipelines.store.manage import RunWriter, staged_attempts
from pipelines.store.runs import Run, list_runs, open_run

if TYPE_CHECKING:
    from pipelines.imports.readers import Opened
    from pipelines.imports.sources import OutputSource


class Done(NamedTuple):
    """text: to print, if anything. ok: False for a check that found errors. result: what a job leaves as JSON."""

    text: str = ""
    ok: bool = True
    result: dict[str, Any] | None = None


def execute(request: Request, progress: Progress, *, runs: Path) -> Done:
    """Carry a request out; Ctrl-C and SIGTERM stop it at its next safe point.

    runs: folder of the runs. Raises PipelineError, and Cancelled where a stop was asked for.
    """
    # Libraries are loaded where they are needed: torch and numba take seconds.
    with cancel_on_signals(progress):
        match request:
            case RunRequest():
                return _run(request, progress, runs)
            case SampleRequest():
                return _sample(progress, runs)
            case AddSeedsRequest():
                from pipelines.run import add_seeds

                runs, name = _located(runs, request.name)
                return _made(add_seeds(name, request.seeds, runs=runs, progress=progress, resume=request.resume))
            case TrainRequest() | PredictRequest():
                return _stage(request, progress, runs)
            case EvaluateRequest():
                return _evaluate(request, progress, runs)
            case CheckRequest():
                return _check(request, progress)
            case ImportRequest():
                return _import(request, progress, runs)
            case ModelImportRequest():
                return _import_models(request, progress, runs)
            case EstimateRequest():
                from pipelines.estimate import estimate_run

                estimate = estimate_run(request.config, runs=runs, progress=progress)
                return Done(estimate.text(), result=estimate.model_dump(mode="json"))
            case ExportRequest():
                return _export(request, runs)
        raise ConfigError(f"nothing is known of {request.command}")


def _run(request: RunRequest, progress: Progress, runs: Path) -> Done:
    from pipelines.run import make_run

    if request.name is None:
        raise ConfigError("the run has no name yet; give one")
    made = make_run(
        request.config,
        runs=runs,
        name=request.name,
        progress=progress,
        models=request.models,
        resume=request.resume,
    )
    return _made(made, opens=True)


def _sample(progress: Progress, runs: Path) -> Done:
    from pipelines.jobs import start_later_seeds

    if not any(run.name == SAMPLE_RUN for run in list_runs(runs)):
        _run(sample_request(resume=bool(staged_attempts(runs, SAMPLE_RUN))), progress, runs)
    start_later_seeds(runs)
    return Done(f"{runs / SAMPLE_RUN} is there")


def _stage(request: TrainRequest | PredictRequest, progress: Progress, runs: Path) -> Done:
    from pipelines.run import predict, train
    from pipelines.stages import Plan

    with RunWriter.open(runs, request.name, resume=True) as writer:
        plan = Plan(writer.folder)
        plan.check_unchanged()
        (train if isinstance(request, TrainRequest) else predict)(writer.folder, progress)
        plan.check_unchanged(during=True)
    return Done(f"{request.command} of {request.name} is done")


def _evaluate(request: EvaluateRequest, progress: Progress, runs: Path) -> Done:
    from pipelines.stages import finish

    runs, name = _located(runs, request.name)
    whole = open_run(runs, name).folder if (runs / check_name(name)).is_dir() else None
    with RunWriter.open(runs, name, resume=whole is None, copy_of=whole, recount=True) as writer:
        return _made(finish(writer, progress, recount=whole is not None))


def _check(request: CheckRequest, progress: Progress) -> Done:
    from pipelines.datasets.check import check_dataset
    from pipelines.datasets.opening import open_dataset, recognised_text
    from pipelines.reading import write_reading

    dataset = open_dataset(request.dataset, request.data_reading())
    print(recognised_text(dataset), file=sys.stderr)
    if request.save_reading is not None:
        write_reading(request.save_reading, dataset.full_spec)
        print(f"how it is read: {request.save_reading}; edit it and give it back with --reading", file=sys.stderr)
    report = check_dataset(dataset, size=request.size, progress=progress)
    if request.save_report is not None:
        files.write_text(request.save_report, report.model_dump_json())
        return Done()
    return Done(report.model_dump_json(indent=1) if request.as_json else report.text().rstrip("\n"), report.ok)


def _export(request: ExportRequest, runs: Path) -> Done:
    from dashboard.report.files import export as export_run  # of all requests only this one draws, see pyproject.toml
    from pipelines.judgement import Margin

    margin = None if request.margin is None else build(Margin, {"dice": request.margin})
    options = request.model_dump(include={"html", "csv", "zipped", "force"})
    written = export_run(open_run(runs, request.name), request.out, **options, margin=margin)
    return Done("\n".join(map(str, written)))


def _located(runs: Path, name: str) -> tuple[Path, str]:
    """The runs folder and the name of a run that may be given as a path."""
    return (Path(name).resolve().parent, Path(name).resolve().name) if os.sep in name else (runs, name)


def _made(run: Run, *, opens: bool = False) -> Done:
    from pipelines.judgement import Verdict

    text = Verdict.model_validate(run.verdict).text()
    return Done(f"{text}\n\n{run.folder}\nOpen it with: streamlit run dashboard/app.py" if opens else text)


# Imports -------------------------------------------------------------------------------------------------------------


def _import(request: ImportRequest, progress: Progress, runs: Path) -> Done:
    from pipelines.datasets.opening import open_dataset
    from pipelines.imports.readers import open_outputs
    from pipelines.imports.sources import Said
    from pipelines.uploads import in_use

    dataset = open_dataset(request.data_folder, request.data_reading())
    with ExitStack() as stack:
        for path in (request.data_folder, *(outputs.path for outputs in request.heads.values())):
            stack.enter_context(in_use(path))
        opened: dict[Head, Opened] = {}
        for head, outputs in request.heads.items():
            said = Said(head, outputs.values, outputs.classes, request.background)
            opened[head] = open_outputs(outputs.path, said, dataset, format=outputs.format, seed=request.seed)
            for source in opened[head].sources.values():
                stack.enter_context(source).size = request.size
        sources = {head: one.sources for head, one in opened.items()}
        _check_background(request, sources)
        names = [image for split in request.evaluation.splits for image in dataset.images(split)]
        for line in _recognised(opened, names):
            print(line, file=sys.stderr)
        heads = {}
        for head, one in opened.items():
            declared = next(iter(one.sources.values())).declaration
            heads[head] = {
                "path": str(one.path),
                "format": one.format,
                "values": declared.values,
                "channels": declared.classes,
                "background": declared.background,
            }
        return _make_import(request, sources, {"heads": heads, "size": request.size}, progress, runs)


def _import_models(request: ModelImportRequest, progress: Progress, runs: Path) -> Done:
    from pipelines.datasets.opening import open_dataset
    from pipelines.imports.models.opening import open_models
    from pipelines.uploads import in_use

    dataset = open_dataset(request.data_folder, request.data_reading())
    with ExitStack() as stack:
        for path in (request.data_folder, *(Path(model.path) for model in request.heads.values())):
            stack.enter_context(in_use(path))
        opened = open_models(request, dataset, stack)
        sources = {head: one.sources for head, one in opened.items()}
        _check_background(request, sources)
        for head, one in opened.items():
            for line in one.lines(head):
                print(line, file=sys.stderr)
        size = next(iter(next(iter(sources.values())).values())).size
        imported = {"origin": "models", "heads": {head: one.imported() for head, one in opened.items()}, "size": size}
        return _make_import(request, sources, imported, progress, runs)


def _check_background(
    request: ImportRequest | ModelImportRequest, sources: "Mapping[Head, Mapping[int, OutputSource]]"
) -> None:
    every = [source for by_seed in sources.values() for source in by_seed.values()]
    if request.background is not None and all(source.declaration.background is None for source in every):
        raise ConfigError(
            f"--background {request.background!r} is none of the channels; name every channel with --classes"
        )


def _make_import(
    request: ImportRequest | ModelImportRequest,
    sources: "Mapping[Head, Mapping[int, OutputSource]]",
    imported: dict[str, Any],
    progress: Progress,
    runs: Path,
) -> Done:
    """imported: values of ImportConfig, but for the seeds."""
    from pipelines.imports.predictions import make_import

    seeds = sorted({seed for by_seed in sources.values() for seed in by_seed})
    config = RunConfig(
        dataset=str(request.data_folder),
        reading=request.data_reading(),
        training=None,
        imported=build(ImportConfig, imported | {"seeds": tuple(seeds)}),
        evaluation=request.evaluation,
    )
    made = make_import(config, sources, runs=runs, name=request.name, progress=progress, resume=request.resume)
    return _made(made, opens=True)


def _recognised(opened: "Mapping[Head, Opened]", names: list[str]) -> Iterator[str]:
    """What was recognised, and what is left aside, a line each."""
    from pipelines.imports.readers import FORMATS
    from pipelines.imports.sources import named

    for head, one in opened.items():
        declared = next(iter(one.sources.values())).declaration
        channels = f"channels {named(declared.classes)}" if declared.classes else "channels not named"
        seeds = f", seeds {', '.join(map(str, one.sources))}" if len(one.sources) > 1 else ""
        yield f"{head}: {FORMATS[one.format].title} ({one.format}), {declared.values}, {channels}{seeds}"
        for seed, source in one.sources.items():
            left = source.surplus(names)
            if left:
                of_seed = f" seed {seed}" if len(one.sources) > 1 else ""
                yield f"{head}{of_seed}: {len(left)} outputs belong to no image of these splits: {named(left)}"
