"""What somebody brings for a data set that they have, step by step, to a job that makes a run of it.

The page `dashboard/app_pages/import_outputs.py` asks for the data set (`truth.choose`), then hands it to one of

    predictions.draw(chosen: truth.Chosen) -> None      outputs in files
    model.draw(chosen: truth.Chosen) -> None            networks, run here; shown once the module is there

Both end with `follow.started(job)`, which shows the job's progress and leads to the verdict.
"""
