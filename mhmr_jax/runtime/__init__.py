"""How a program starts, runs on several processes, and ends."""
