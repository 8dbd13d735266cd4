"""Training examples of keypoints alone, made on the device as they are asked for.

No picture is drawn: a random body performs a window of motion (`movements`), a random
camera sees it (`viewpoints`), and the projected COCO-17 get a detector's errors
(`keypoints.device_corruption`). `examples` puts these steps together. An example
depends on a seed and its number alone.
"""
