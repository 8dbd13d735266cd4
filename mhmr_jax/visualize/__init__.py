"""Overlays, charts, reports, sheets, and the page of a motion."""
