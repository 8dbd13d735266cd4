"""Runs a trained network along stored sequences and videos, and recovers 3D motion."""

from mhmr_jax.inference.video_motion import predict_video

__all__ = ["predict_video"]
