"""Motion HMR and its parts, in Flax Linen."""
