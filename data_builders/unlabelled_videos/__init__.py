"""The people in a folder of videos, without labels."""
