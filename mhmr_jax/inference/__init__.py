"""A trained run along sequences and videos, and its outputs as one motion in space."""
