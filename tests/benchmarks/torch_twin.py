"""PyTorch's twin of a training step of flow and keypoints: network, loss and update.

It takes a config's model with heatmaps or coordinates, axis-angles or rotations in the
camera's frame, and batch norm, as the default and `:paper` have them, and copies the
flax model's parameters. It is written as PyTorch programs are: maps have the channels
first, and modules are those of `torch.nn`.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from smplx.lbs import batch_rigid_transform, batch_rodrigues
from torch import Tensor, nn

from mhmr_jax.body import posed_keypoints, smpl
from mhmr_jax.body.joints import SMPL_PARENTS
from mhmr_jax.models import coordinates, regressor
from mhmr_jax.training import losses

_PARENTS = torch.tensor(SMPL_PARENTS)


def _ancestors() -> Tensor:
  """1 where a joint is the other one, or one of those between it and the pelvis."""
  table = torch.eye(24)
  for joint in range(1, 24):
    table[joint] += table[SMPL_PARENTS[joint]]
  return table


class Body(NamedTuple):
  """What joints and the feedback's keypoints need of a body."""

  joint_template: Tensor
  joint_shapedirs: Tensor
  weights: Tensor
  template: Tensor
  shapedirs: Tensor
  ancestors: Tensor

  @classmethod
  def of(cls, model: smpl.SmplModel) -> "Body":
    """The body of a model without pose blend shapes."""
    moments = posed_keypoints.moments(model)
    arrays = (
      model.joint_template,
      model.joint_shapedirs,
      moments.weights,
      moments.template,
      moments.shapedirs,
    )
    return cls(*(torch.tensor(np.asarray(a)) for a in arrays), _ancestors())

  def rest_joints(self, betas: Tensor) -> Tensor:
    """The joints of the unposed body."""
    return self.joint_template + torch.einsum(
      "jcs,...s->...jc", self.joint_shapedirs, betas
    )

  def joints(self, world: Tensor, betas: Tensor) -> Tensor:
    """The joints of a body whose limbs have these rotations in the camera's frame."""
    rest = self.rest_joints(betas)
    offsets = rest[..., 1:, :] - rest[..., _PARENTS[1:], :]
    moved = torch.einsum("...jik,...jk->...ji", world[..., _PARENTS[1:], :, :], offsets)
    steps = torch.cat([rest[..., :1, :], moved], dim=-2)
    return torch.einsum("jk,...kc->...jc", self.ancestors, steps)

  def keypoints_and_joints(self, world: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    """COCO's keypoints and the joints."""
    joints = self.joints(world, betas)
    t = joints - torch.einsum("...jik,...jk->...ji", world, self.rest_joints(betas))
    moved = self.template + torch.einsum("kjcs,...s->...kjc", self.shapedirs, betas)
    keypoints = torch.einsum("...jic,...kjc->...ki", world, moved)
    return keypoints + torch.einsum("kj,...ji->...ki", self.weights, t), joints


class SameConv(nn.Conv2d):
  """A convolution without bias whose padding is XLA's SAME."""

  def __init__(self, channels: int, features: int, kernel: int, stride: int = 1):
    super().__init__(channels, features, kernel, stride, bias=False)

  def forward(self, x: Tensor) -> Tensor:
    """Convolves a map with channels first."""
    kernel, stride = self.kernel_size[0], self.stride[0]
    total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
    if total % 2:
      x = F.pad(x, (total // 2, total - total // 2) * 2)
      return F.conv2d(x, self.weight, stride=stride)
    return F.conv2d(x, self.weight, stride=stride, padding=total // 2)


class Block(nn.Module):
  """The unit of a pre-activation ResNet."""

  def __init__(self, channels: int, width: int, stride: int, bottleneck: bool):
    super().__init__()
    features = width * (4 if bottleneck else 1)
    self.shortcut = None
    if channels != features or stride != 1:
      self.shortcut = SameConv(channels, features, 1, stride)
    self.norm1 = nn.BatchNorm2d(channels)
    self.norm2 = nn.BatchNorm2d(width if bottleneck else features)
    self.norm3, self.conv3 = None, None
    if bottleneck:
      self.conv1 = SameConv(channels, width, 1)
      self.conv2 = SameConv(width, width, 3, stride)
      self.norm3 = nn.BatchNorm2d(width)
      self.conv3 = SameConv(width, features, 1)
    else:
      self.conv1 = SameConv(channels, features, 3, stride)
      self.conv2 = SameConv(features, features, 3)

  def forward(self, x: Tensor) -> Tensor:
    """Adds the unit's residual."""
    y = F.relu(self.norm1(x))
    if self.shortcut is not None:
      x = self.shortcut(y)
    y = self.conv2(F.relu(self.norm2(self.conv1(y))))
    if self.conv3 is not None and self.norm3 is not None:
      y = self.conv3(F.relu(self.norm3(y)))
    return x + y


class Encoder(nn.Module):
  """The frame encoder of `models.encoder`."""

  def __init__(self, config: ConfigDict, channels: int, side: int):
    super().__init__()
    self.pool, self.grid = config.stem_pool, config.pool_grid
    self.stem = SameConv(
      channels, config.stem_width, config.stem_kernel, config.stem_stride
    )
    before = config.stem_width
    self.units = []
    stages = zip(config.stage_blocks, config.stage_widths, strict=True)
    for stage, (blocks, width) in enumerate(stages):
      for index in range(blocks):
        stride = 2 if stage > 0 and index == 0 else 1
        name = f"stage{stage + 1}_block{index + 1}"
        self.add_module(name, Block(before, width, stride, config.bottleneck))
        self.units.append(name)
        before = width * (4 if config.bottleneck else 1)
    self.norm = nn.BatchNorm2d(before)
    self.project, self.centroids = None, None
    if self.grid > 1 or config.features:
      self.project = nn.Linear(before * self.grid**2, config.features or before)
    if config.centroids:
      self.centroids = nn.Linear(3 * channels, config.features or before)
    places = (2 * torch.arange(side) + 1) / side - 1
    self.register_buffer("places", places)

  def forward(self, stack: Tensor) -> Tensor:
    """Maps the channels of frames to features."""
    x = self.stem(stack)
    if self.pool:
      x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    for name in self.units:
      x = getattr(self, name)(x)
    x = F.adaptive_avg_pool2d(F.relu(self.norm(x)), self.grid)
    x = x.permute(0, 2, 3, 1).flatten(1)
    if self.project is not None:
      x = self.project(x)
    if self.centroids is not None:
      x = x + self.centroids(self._centroids(stack))
    return x

  def _centroids(self, stack: Tensor) -> Tensor:
    x = F.relu(stack)
    along_y, along_x = x.sum(3), x.sum(2)
    mass = along_x.sum(2)
    safe = torch.where(mass > 0, mass, 1.0)
    centres = [profile @ self.places / safe for profile in (along_x, along_y)]
    return torch.cat([x.amax((2, 3)), *centres], dim=1)


class PointEncoder(nn.Module):
  """The encoder of coordinates."""

  def __init__(self, width: int):
    super().__init__()
    self.hidden1 = nn.Linear(91, width)
    self.hidden2 = nn.Linear(width, width)
    self.norm = nn.LayerNorm(width, eps=1e-6)

  def forward(self, x: Tensor) -> Tensor:
    """Encodes frames."""
    x = F.relu(self.hidden1(x))
    return self.norm(x + F.relu(self.hidden2(x)))


class Memory(nn.Module):
  """The LSTM whose output is added to its input."""

  def __init__(self, inputs: int, features: int):
    super().__init__()
    self.lstm = nn.LSTM(inputs, features, batch_first=True)
    self.lstm.bias_hh_l0.requires_grad_(False).zero_()
    self.project = nn.Linear(features, inputs) if features != inputs else None

  def forward(self, x: Tensor) -> Tensor:
    """Runs over clips from zeros."""
    hidden, _ = self.lstm(x)
    return x + (hidden if self.project is None else self.project(hidden))


def _rot6d_to_matrix(rot6d: Tensor) -> Tensor:
  x = F.normalize(rot6d[..., :3], dim=-1)
  y = rot6d[..., 3:]
  y = F.normalize(y - (x * y).sum(-1, keepdim=True) * x, dim=-1)
  return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


class Points(NamedTuple):
  """The points, their crops and the batch's windows, in focal lengths."""

  points: Tensor
  centre: Tensor
  size: Tensor
  window: Tensor


class Regressor(nn.Module):
  """HMR's iterative regressor, with feedback as an option."""

  def __init__(self, config: ConfigDict, inputs: int, body: Body, mean: np.ndarray):
    super().__init__()
    first, last = config.hidden
    self.config, self.body = config, body
    self.register_buffer("mean", torch.tensor(mean))
    self.from_features = nn.Linear(inputs, first)
    self.from_parameters = nn.Linear(len(mean), first, bias=False)
    self.hidden2 = nn.Linear(first, last)
    self.correction = nn.Linear(last, len(mean))
    self.from_error = nn.Linear(34, first, bias=False) if config.feedback else None

  def split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations (in the camera's frame, or axis-angles), betas and the camera."""
    pose, betas, camera = parameters.split([len(self.mean) - 13, 10, 3], dim=-1)
    pose = pose.unflatten(-1, (24, -1))
    if self.config.pose_representation == "6d_camera":
      pose = _rot6d_to_matrix(pose)
    return pose, betas, camera

  def error(self, parameters: Tensor, seen: Points) -> Tensor:
    """The reprojection error of an estimate."""
    world, betas, camera = self.split(parameters)
    placed, joints = self.body.keypoints_and_joints(world, betas)
    size = seen.size[..., None]
    scale = size * camera[..., :1].clamp(min=regressor._MIN_SCALE)
    depth = 1 / scale
    pelvis = (seen.centre + scale * camera[..., 1:]) * depth
    moved = placed - joints[..., :1, :]
    across = moved[..., :2] + pelvis[..., None, :]
    ahead = moved[..., 2:] + depth[..., None]
    error = across / ahead.clamp(min=regressor._MIN_DEPTH) - seen.points[..., :2]
    error = (error / size[..., None]).clamp(-1, 1) * seen.points[..., 2:]
    return error.flatten(-2)

  def forward(self, features: Tensor, seen: Points | None) -> Tensor:
    """The parameters after all rounds."""
    rate = self.config.dropout
    fixed = self.from_features(features)
    parameters = self.mean.expand(*features.shape[:-1], -1)
    for _ in range(self.config.rounds):
      x = fixed + self.from_parameters(parameters)
      if self.from_error is not None and seen is not None:
        x = x + self.from_error(self.error(parameters, seen))
      x = F.dropout(F.relu(x), rate)
      x = F.dropout(F.relu(self.hidden2(x)), rate)
      parameters = parameters + self.correction(x)
    return parameters


def _follow(points: Tensor, blank: Tensor) -> tuple[Tensor, Tensor, Tensor]:
  """The smooth crop of each frame: centre, half side, and whether it has begun."""
  known = points[..., 2:] > coordinates._MIN_SCORE
  low = torch.where(known, points[..., :2], torch.inf).amin(2)
  high = torch.where(known, points[..., :2], -torch.inf).amax(2)
  boxed = known[..., 0].sum(-1) >= coordinates._MIN_POINTS
  centre = torch.where(boxed[..., None], (low + high) / 2, 0.0)
  half = torch.where(boxed, (high - low).amax(-1) / 2, 0.0)
  lag = torch.arange(points.shape[1])
  lag = lag[:, None] - lag
  decay = torch.where(lag >= 0, coordinates._PERSISTENCE ** lag.clamp(min=0), 0.0)
  weight, mean_half = decay @ boxed.float().T, decay @ half.T
  mean_centre = torch.einsum("ts,bsc->btc", decay, centre)
  weight, mean_half = weight.T, mean_half.T
  begun = weight > coordinates._BEGUN
  safe = torch.where(begun, weight, 1.0)
  centre = torch.where(
    begun[..., None], mean_centre / safe[..., None], blank[:, None, :2]
  )
  size = torch.where(begun, mean_half / safe, blank[:, None, 2]).clamp(min=1e-3)
  return centre, size, begun


def _point_features(points: Tensor, centre: Tensor, size: Tensor, begun: Tensor):
  """The features of `coordinates.features` at the start of a stream."""
  c = coordinates
  known = points[..., 2:] > c._MIN_SCORE
  unit = size[..., None, None]
  place = torch.where(known, (points[..., :2] - centre[:, :, None]) / unit, 0.0)
  before = F.pad(points[:, :-1, :, :2], (0, 0, 0, 0, 1, 0))
  both = known & F.pad(known[:, :-1], (0, 0, 0, 0, 1, 0))
  velocity = torch.where(both, (points[..., :2] - before) / unit, 0.0)
  by_point = torch.cat(
    [
      place.clamp(-c._MAX_PLACE, c._MAX_PLACE),
      c._SPEED_UNIT * velocity.clamp(-c._MAX_SPEED, c._MAX_SPEED),
      torch.where(known, points[..., 2:], 0.0),
    ],
    dim=-1,
  ).flatten(2)
  moved = c._MOTION_UNIT * (centre[:, 1:] - centre[:, :-1]) / size[:, 1:, None]
  zoomed = c._ZOOM_UNIT * torch.log(size[:, 1:] / size[:, :-1])
  motion = torch.cat([moved, zoomed[..., None]], -1)
  motion = torch.where((begun[:, 1:] & begun[:, :-1])[..., None], motion, 0.0)
  motion = F.pad(motion.clamp(-c._MAX_MOTION, c._MAX_MOTION), (0, 0, 1, 0))
  where = [2 * centre, torch.log(size / c._TYPICAL_SIZE)[..., None]]
  return torch.cat([by_point, motion, *where], dim=-1)


def _heatmaps(keypoints: Tensor, size: int, sigma: float) -> Tensor:
  """Gaussians, with the points as channels: [frames, points, size, size]."""
  centres = torch.arange(size) + 0.5
  x, y = (
    torch.exp(-0.5 * ((centres - keypoints[..., axis, None]) / sigma) ** 2)
    for axis in (0, 1)
  )
  return (y * keypoints[..., 2:])[..., None] * x[..., None, :]


class Twin(nn.Module):
  """The network of a config of flow and keypoints, and its loss."""

  def __init__(self, config: ConfigDict, body: smpl.SmplModel):
    super().__init__()
    model, self.size, self.loss = config.model, config.data.size, config.loss
    self.sigma = model.heatmap_sigma * self.size
    self.flow_unit = model.flow_unit * self.size
    self.as_points = config.keypoints.form == "coordinates"
    channels = 2 if self.as_points else 19
    self.body = Body.of(body)
    self.encoder = Encoder(model.encoder, channels, self.size)
    width = model.encoder.features or 4 * model.encoder.stage_widths[-1]
    self.point_encoder = PointEncoder(width) if self.as_points else None
    self.temporal = Memory(width, model.lstm_features)
    own = regressor.IterativeRegressor(
      pose_representation=model.regressor.pose_representation
    )
    mean = np.asarray(jax.jit(lambda: own._mean_parameters())())
    self.regressor = Regressor(model.regressor, width, self.body, mean)

  def forward(self, batch: dict[str, Tensor]) -> Tensor:
    """The loss of a batch whose frames are all valid."""
    flow = batch["flow"].float().permute(0, 1, 4, 2, 3) / self.flow_unit
    stack = flow.flatten(0, 1)
    if not self.as_points:
      drawn = _heatmaps(batch["keypoints"].flatten(0, 1), self.size, self.sigma)
      stack = torch.cat([stack, drawn], dim=1)
    features = self.encoder(stack).unflatten(0, flow.shape[:2])
    seen = None
    if self.point_encoder is not None:
      seen, encoded = self._points(batch)
      features = features + self.point_encoder(encoded)
    parameters = self.regressor(self.temporal(features), seen)
    return self._loss(*self.regressor.split(parameters), seen, batch)

  def _points(self, batch: dict[str, Tensor]) -> tuple[Points, Tensor]:
    window = batch["window"]
    place = batch["keypoints"][..., :2] * (2 / self.size) - 1
    place = window[:, None, None, :2] + window[:, None, None, 2:] * place
    points = torch.cat([place, batch["keypoints"][..., 2:]], dim=-1)
    centre, size, begun = _follow(points, window)
    encoded = _point_features(points, centre, size, begun)
    return Points(points, centre, size, window), encoded

  def _loss(
    self,
    pose: Tensor,
    betas: Tensor,
    camera: Tensor,
    seen: Points | None,
    batch: dict[str, Tensor],
  ) -> Tensor:
    weights, world = self.loss, pose
    if pose.shape[-2:] == (3, 3):
      joints = self.body.joints(world, betas)
    else:
      local = batch_rodrigues(pose.reshape(-1, 3)).view(-1, 24, 3, 3)
      rest = self.body.rest_joints(betas).flatten(0, 1)
      joints, _ = batch_rigid_transform(local, rest, _PARENTS)
      joints = joints.unflatten(0, pose.shape[:2])
    joints = joints - joints[..., :1, :]
    if seen is not None:
      scale = camera[..., :1] * seen.size[..., None]
      moved = camera[..., 1:] + (seen.centre - seen.window[:, None, :2]) / scale
      camera = torch.cat([scale / seen.window[:, None, 2:], moved], dim=-1)
    crop = camera[..., None, :1] * (joints[..., :2] + camera[..., None, 1:])

    loss = weights.joints_3d * _aligned_distance(joints, batch["joints_camera"])
    across = (crop - batch["joints_crop"]).abs().sum(-1) * batch["visibility"]
    loss = loss + weights.joints_2d * across.sum() / batch["visibility"].sum()
    loss = loss + weights.betas_prior * betas.square().mean()
    if weights.rotations_camera:
      target = batch_rodrigues(batch["pose"].reshape(-1, 3)).view(-1, 24, 3, 3)
      rest = self.body.joint_template.expand(len(target), -1, -1)
      target = batch_rigid_transform(target, rest, _PARENTS)[1][..., :3, :3]
      difference = world - target.view(world.shape)
      loss = loss + weights.rotations_camera * difference.square().mean()
    return loss


def _aligned_distance(joints: Tensor, target: Tensor) -> Tensor:
  """The mean distance after Procrustes alignment, smoothed as the package's."""
  mean, target_mean = joints.mean(-2, keepdim=True), target.mean(-2, keepdim=True)
  centred = joints - mean
  covariance = (target - target_mean).mT @ centred
  U, _, Vh = torch.linalg.svd(covariance)
  sign = torch.ones(*covariance.shape[:-2], 3)
  sign[..., 2] = torch.sign(torch.linalg.det(U @ Vh)).detach()
  R = (U * sign[..., None, :]) @ Vh
  scale = (R * covariance).sum((-1, -2)) / centred.square().sum((-1, -2))
  aligned = scale[..., None, None] * centred @ R.mT + target_mean
  knee = losses._DISTANCE_KNEE
  square = (aligned - target).square().sum(-1)
  return ((square + knee**2).sqrt() - knee).mean()


def load(twin: Twin, params: dict[str, Any]) -> None:
  """Copies the flax model's parameters."""
  for name, value in params.items():
    _copy(getattr(twin, name), value)


def _copy(module: nn.Module, params: dict[str, Any]) -> None:
  if isinstance(module, nn.LSTM):
    names = {"weight_ih_l0": "input_kernel", "weight_hh_l0": "recurrent_kernel"}
    for own, name in (names | {"bias_ih_l0": "bias"}).items():
      _set(getattr(module, own), np.asarray(params[name]).T)
    return
  for name, value in params.items():
    if isinstance(value, dict):
      _copy(getattr(module, name), value)
    elif name == "kernel":
      array = np.asarray(value)
      _set(module.weight, array.T if array.ndim == 2 else array.transpose(3, 2, 0, 1))
    else:
      _set(module.weight if name == "scale" else module.bias, np.asarray(value))


def _set(parameter: nn.Parameter, value: np.ndarray) -> None:
  if parameter.shape != value.shape:
    raise ValueError(f"{tuple(parameter.shape)} is not {value.shape}")
  with torch.no_grad():
    parameter.copy_(torch.tensor(np.ascontiguousarray(value)))


class Update:
  """The whole step: loss, gradients, their clipping, AdamW."""

  def __init__(self, twin: Twin, settings: ConfigDict):
    self.twin, self.clip = twin, settings.grad_clip
    trained = [p for p in twin.parameters() if p.requires_grad]
    groups = [
      {"params": [p for p in trained if p.ndim > 1]},
      {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
    ]
    self.optimizer = torch.optim.AdamW(
      groups, settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )

  def __call__(self, batch: dict[str, Tensor]) -> Tensor:
    """Makes one update and returns the loss before it."""
    self.optimizer.zero_grad()
    loss = self.twin(batch)
    loss.backward()
    nn.utils.clip_grad_norm_(self.twin.parameters(), self.clip)
    self.optimizer.step()
    return loss.detach()
