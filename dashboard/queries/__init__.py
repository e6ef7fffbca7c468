"""Every question to a run: the only part that caches, under a server as outside of one.

Keys are a run's folder and manifest checksum, never arrays: Streamlit hashes only a sample of large ones.
"""

from dashboard.queries import counts, images, runs, scores

__all__ = ["counts", "images", "runs", "scores"]
