"""2D keypoints: file formats, tracking, noise model, heatmaps."""
