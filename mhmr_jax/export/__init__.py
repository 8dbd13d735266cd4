"""Writes a person's motion (`schema.Motion`) in formats that other programs read."""
