"""A run and a choice of controls to figures with their table: what pages show and reports print. No Streamlit here."""

from dashboard.panels.base import Panel, Picture
from dashboard.panels.selection import Selection

__all__ = ["Panel", "Picture", "Selection"]
