"""Where poses come from: motion capture files and procedural motion."""
