"""Rotations, cameras and Procrustes alignment, in JAX."""
