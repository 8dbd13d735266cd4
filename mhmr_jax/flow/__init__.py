"""Estimators of optical flow: DIS, FlowNetS and RAFT."""
