"""SMPL poses fitted to Kinetics videos."""
