"""Runs a trained network along stored sequences and videos, up to motion in space."""
