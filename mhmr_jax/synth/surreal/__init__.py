"""Cuts people out of SURREAL's clips and films them anew.

Varol et al., "Learning from Synthetic Humans" (CVPR 2017).
"""

from mhmr_jax.synth.surreal.info_files import read_info as read_info
