"""Motion from a random-number generator, for people who have no motion capture.

`generator` joins `actions` into clips. Actions are made of cyclic `gaits` and of key
`poses`, which `stances` draw at random. All of them are written in the angles of
`anatomy`, and `pieces` joins them and sets them on the ground.
"""

from mhmr_jax.motion.procedural.generator import generate

__all__ = ["generate"]
