"""Tools that built the shipped `free_body.npz`; no program imports them."""
