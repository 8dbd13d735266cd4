"""Stands in for PyTorch in programs that tests start.

They do without it; tensorboardX would import it if it could, for three seconds.
"""

raise ImportError("The project's programs do without PyTorch.")
