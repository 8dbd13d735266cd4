"""Runs a trained network along stored sequences and videos, up to motion in space."""

from mhmr_jax.inference.video_motion import predict_video

__all__ = ["predict_video"]
