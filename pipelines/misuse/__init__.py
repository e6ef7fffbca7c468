"""What users bring (probabilities or logits) against what they say it is: misuse that would make results wrong.

The declaration is never guessed from the values; they are only compared with it (docs/misuse.md).
"""

from pipelines.misuse.declaration import Declaration
from pipelines.misuse.findings import MisuseCheck, check_outputs, check_pair, head_check

__all__ = ["Declaration", "MisuseCheck", "check_outputs", "check_pair", "head_check"]
