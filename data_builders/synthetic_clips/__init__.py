"""Clips of rendered people with exact labels."""
