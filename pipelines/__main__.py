"""`python -m pipelines`."""

import os

# Before any library brings OpenMP: threads that spin while they wait made training five times slower beside another
# busy process on two cores (docs/adr/0002-waiting-threads.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # else it looks for some in every installed package

from pipelines.cli import main

if __name__ == "__main__":
    main()
