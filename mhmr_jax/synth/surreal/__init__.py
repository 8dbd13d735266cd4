"""Films people of SURREAL anew, who are cut out of its clips.

Varol et al., "Learning from Synthetic Humans" (CVPR 2017).
"""

from mhmr_jax.synth.surreal.info_files import read_info as read_info
