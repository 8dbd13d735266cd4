"""TFDS builders, one folder for each dataset, and what they share."""
