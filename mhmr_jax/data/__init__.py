"""Stored clips to device batches: sources, transforms and the Grain graph."""
