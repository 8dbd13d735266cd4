"""Overlays, charts, reports, sheets, and the motion page."""
