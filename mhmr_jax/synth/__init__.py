"""The synthetic engine: people, cameras and backgrounds to labelled clips."""
