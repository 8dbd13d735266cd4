"""Reads files from outside safely, and writes files whole or not at all."""
