"""Rotations, cameras, windows and crops, Procrustes alignment and error metrics."""
