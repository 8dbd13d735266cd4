"""Training examples of keypoints alone, made on the device as they are asked for.

No picture is drawn: a window of motion is posed on a random body (`movements`), seen by
a random camera (`viewpoints`), and its projected COCO-17 get a detector's errors
(`keypoints.device_corruption`). `examples` puts them together. Everything depends on
a seed and the example's number alone.
"""
