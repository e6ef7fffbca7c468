"""A run to files that need no app: one self-contained HTML page, and every table as CSV. No Streamlit here."""
