"""What a step costs on accelerators that are not there."""
