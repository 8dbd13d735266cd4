"""Scores predictions by the protocols of the field, beside baselines and intervals."""
