"""Picture files with mask files: which belong together, and what the masks' values mean."""
