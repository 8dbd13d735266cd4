"""How a program starts, runs as several processes, and ends."""
