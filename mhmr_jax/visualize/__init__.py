"""Overlays, charts, reports and sheets."""
