"""Protocols, truth, scores, baselines and intervals; other methods' predictions."""
