"""What a step costs on accelerators that you don't have."""
