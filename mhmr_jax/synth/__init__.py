"""The synthetic engine: it films rendered people and labels the clips exactly."""
