"""What `mhmr_jax.compile` can be asked for."""

# The compiler's effort. Low effort takes a fraction of the time. It gives the memory to
# within some per cent, but leaves exchanges where the default effort would move, merge
# or shrink them.
EFFORTS = {"default": 0.0, "low": -1.0}
STEPS = ("train", "eval")
