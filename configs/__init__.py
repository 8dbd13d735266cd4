"""Experiment configurations; `get_config(variant)` returns a ConfigDict."""
