"""Scores predictions by the field's protocols, with baselines and intervals."""
