"""What comes from outside and goes out, safely: video, arrays, pickles, runs."""
