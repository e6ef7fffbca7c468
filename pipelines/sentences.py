"""Parts of sentences to sentences."""


def begun(text: str) -> str:
    """Text that begins a sentence: its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]
