"""Small ONNX models in the form of RTMPose's and of the detectors' before it.

They look at colours: a person is a rectangle of blue or of green, their points lie to
the right of a red spot, each half a pixel of the crop farther.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PEOPLE_ROWS, PEOPLE_COLUMNS = 64, 96
POSE_ROWS, POSE_COLUMNS = 64, 48
# What the models' callers do to pixels before; RTMDet's are of BGR, RTMPose's of RGB.
RTMDET_MEAN, RTMDET_STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
RTMPOSE_MEAN, RTMPOSE_STD = 123.675, 58.395


def write_people(path, kind="yolox", columns=5):
  """[1, 3, rows, columns] of BGR to [1, 2, 5]: boxes of the blue and the green."""
  graph = _Graph()
  graph.constant("std", RTMDET_STD if kind == "rtmdet" else (1, 1, 1), (1, 3, 1, 1))
  graph.constant("mean", RTMDET_MEAN if kind == "rtmdet" else (0, 0, 0), (1, 3, 1, 1))
  graph.add("Mul", ["image", "std"], "scaled")
  graph.add("Add", ["scaled", "mean"], "pixels")
  graph.constant("threshold", [190], ())
  graph.add("Greater", ["pixels", "threshold"], "all_seen")
  graph.add("Slice", ["all_seen", *graph.range("channels", 0, 2, axis=1)], "seen")
  x, y = np.meshgrid(np.arange(PEOPLE_COLUMNS), np.arange(PEOPLE_ROWS))
  for name, values, kind_, empty in (
    ("x0", x, "ReduceMin", 1e4), ("y0", y, "ReduceMin", 1e4),
    ("x1", x + 1, "ReduceMax", -1), ("y1", y + 1, "ReduceMax", -1),
    ("score", 0 * x + 0.9, "ReduceMax", 0),
  ):  # fmt: skip
    graph.constant(f"{name}_at", values, (1, 1, PEOPLE_ROWS, PEOPLE_COLUMNS))
    graph.constant(f"{name}_empty", [empty], ())
    graph.add("Where", ["seen", f"{name}_at", f"{name}_empty"], f"{name}_where")
    graph.reduce(kind_, f"{name}_where", (2, 3), f"{name}_flat")
    graph.add("Unsqueeze", [f"{name}_flat", graph.axes(2)], name)
  names = ["x0", "y0", "x1", "y1", "score"][:columns]
  graph.add("Concat", names, "dets", axis=2)
  graph.save(path, (1, 3, PEOPLE_ROWS, PEOPLE_COLUMNS), {"dets": (1, 2, columns)})


def write_pose(path, points=17):
  """[1, 3, rows, columns] of normalised RGB to SimCC's two, two bins a pixel."""
  graph = _Graph()
  graph.add("Slice", ["image", *graph.range("red", 0, 1, axis=1)], "red_normalised")
  graph.constant("std", [RTMPOSE_STD / 255], ())
  graph.constant("mean", [RTMPOSE_MEAN / 255], ())
  graph.add("Mul", ["red_normalised", "std"], "red_scaled")
  graph.add("Add", ["red_scaled", "mean"], "red")
  for name, axis, length in (("simcc_x", 2, POSE_COLUMNS), ("simcc_y", 3, POSE_ROWS)):
    graph.reduce("ReduceMax", "red", (0, 1, axis), f"{name}_profile")
    shift = np.arange(points)[:, None] if name == "simcc_x" else np.zeros((points, 1))
    bins = np.arange(2 * length) - shift
    pixels = np.clip(bins // 2, 0, length - 1).astype(np.int64)
    graph.constant(f"{name}_pixels", pixels[None], (1, points, 2 * length), np.int64)
    graph.add("Gather", [f"{name}_profile", f"{name}_pixels"], f"{name}_spread")
    # Between pixels lower, and each point lower than the one before.
    height = np.where(bins % 2, 0.5, 1.0) * SCORES[:points, None] * (bins >= 0)
    graph.constant(f"{name}_height", height, (1, points, 2 * length))
    graph.add("Mul", [f"{name}_spread", f"{name}_height"], name)
  outputs = {
    "simcc_x": (1, points, 2 * POSE_COLUMNS),
    "simcc_y": (1, points, 2 * POSE_ROWS),
  }
  graph.save(path, (1, 3, POSE_ROWS, POSE_COLUMNS), outputs)


SCORES = np.linspace(0.95, 0.4, 17)


class _Graph:
  """Nodes and constants of a model whose one input is `image`."""

  def __init__(self):
    self._nodes, self._constants = [], []

  def constant(self, name, values, shape, dtype=np.float32):
    array = np.asarray(values, dtype).reshape(shape)
    self._constants.append(numpy_helper.from_array(array, name))
    return name

  def add(self, operator, inputs, output, **attributes):
    self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))

  def axes(self, *axes):
    name = f"axes{len(self._constants)}"
    return self.constant(name, axes, (len(axes),), np.int64)

  def range(self, name, start, end, axis):
    parts = {"start": start, "end": end, "axis": axis}
    return [
      self.constant(f"{name}_{part}", [value], (1,), np.int64)
      for part, value in parts.items()
    ]

  def reduce(self, operator, value, axes, output):
    self.add(operator, [value, self.axes(*axes)], output, keepdims=0)

  def save(self, path, input_shape, outputs):
    def declare(name, shape):
      return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
      self._nodes,
      "model",
      [declare("image", input_shape)],
      [declare(name, shape) for name, shape in outputs.items()],
      self._constants,
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
