"""The shifted domain, for testing transfer: nothing is drawn as in the usual one."""
