"""The SMPL layer, model files, joint orders and the free body."""
