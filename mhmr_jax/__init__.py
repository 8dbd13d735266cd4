"""Video human-mesh recovery in JAX/Flax, trained on synthetic people only."""
