"""What somebody brings for a data set that they have, step by step, to a job that makes a run of it.

The page `dashboard/app_pages/import_outputs.py` asks for the data set (`truth.choose`), then hands it to `draw` of
`predictions` (outputs in files) or of `model` (networks that are run here). Both end with `follow.started(job)`, which
shows how the job goes on and leads to the verdict.
"""
