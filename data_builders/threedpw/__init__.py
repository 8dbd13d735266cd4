"""People filmed outdoors, with SMPL poses from inertial sensors."""
