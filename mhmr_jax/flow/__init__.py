"""Optical flow of real frames, and its storage."""
