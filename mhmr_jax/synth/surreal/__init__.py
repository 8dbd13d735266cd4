"""SURREAL's people, cut out of its clips and filmed anew."""

from mhmr_jax.synth.surreal.annotation import read_info as read_info
