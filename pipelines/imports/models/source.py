"""A model and an image to outputs: each image goes through the network in the process of its head, one at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pipelines.arrays import Float32Array
from pipelines.datasets.base import Item
from pipelines.errors import ModelError
from pipelines.imports.models.facts import Facts
from pipelines.imports.models.prepare import Inputs, image_output, network_input, output_layout
from pipelines.imports.models.process import ModelProcess
from pipelines.imports.models.runners import OpenRequest
from pipelines.imports.source import OutputSource, printable
from pipelines.misuse.declaration import Declaration


class Networks:
    """The networks of one head, one file a seed, in one process that holds one of them at a time."""

    def __init__(self, process: ModelProcess, request: OpenRequest) -> None:
        """request: what they all are opened with, but for the path."""
        self.process = process
        self._request = request
        self._facts: dict[Path, Facts] = {}
        self._open: Path | None = None

    def open(self, path: Path) -> Facts:
        """Have this network open, in the place of another. Raises ModelError when it cannot be opened."""
        if self._open != path:
            self._open = None
            request = self._request.model_copy(update={"path": str(path)})
            self._facts[path] = self.process.open(request.model_dump())
            self._open = path
        return self._facts[path]

    def outputs(self, path: Path, image: Float32Array, inputs: Inputs) -> Float32Array:
        """One image, (H, W, 3) in [0, 1], to (K, H, W) as the network gives it. Raises ModelError."""
        self.open(path)
        batch = network_input(image, inputs)
        padded = (batch.shape[2], batch.shape[3]) if inputs.layout == "NCHW" else (batch.shape[1], batch.shape[2])
        shape, dtype, values = self.process.run(batch)
        layout = output_layout(shape, dtype, padded, inputs.layout, self.process.name)
        return image_output(values, layout, image.shape[:2])


class ModelSource(OutputSource):
    """Outputs of one model, computed when they are asked for. size: that images are read at, None for their own."""

    def __init__(self, networks: Networks, path: Path, inputs: Inputs, declaration: Declaration) -> None:
        self.declaration, self.size = declaration, inputs.size
        self._networks, self._path, self._inputs = networks, path, inputs

    def absent(self, names: Sequence[str]) -> tuple[str, ...]:
        """None: whatever image there is can be put through the network."""
        return ()

    def read(self, item: Item) -> NDArray[Any]:
        """Values of one image as declared, (K, H, W) float32. Raises ModelError for what the network cannot do."""
        try:
            return self._networks.outputs(self._path, item.image, self._inputs)
        except ModelError as error:
            height, width = item.valid.shape
            raise ModelError(f"{error} (image {printable(item.name)}, {height}×{width}). Nothing was stored") from None

    def close(self) -> None:
        """End the process of the head; of several seeds it is one and the same."""
        self._networks.process.close()
