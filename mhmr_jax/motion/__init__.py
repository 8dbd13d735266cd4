"""Sources of poses over time: motion capture files and procedural motion."""
