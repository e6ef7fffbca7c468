"""Models that somebody brings, run by us over their data, each in a process of its own with a memory limit.

inspect_model(Path("model.onnx"))          # what is in the file: kind, inputs, outputs, channels
with ExitStack() as stack:
    opened = open_models(ModelImportRequest(...), dataset, stack)
    make_import(config, {head: model.sources for head, model in opened.items()}, ...)
"""
