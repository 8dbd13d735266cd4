"""RAFT's small network in PyTorch, with the names of its authors: a reference for ours.

It is written after the paper and the names and shapes in the authors' `raft-small.pth`,
independently of torchvision's: correlations are sampled by `grid_sample`, and flow is
enlarged by `interpolate`.
"""

import torch
from torch import nn
from torch.nn import functional

_HIDDEN = 96


class Unit(nn.Module):
  def __init__(self, before: int, features: int, stride: int, norm):
    super().__init__()
    narrow = features // 4
    self.conv1 = nn.Conv2d(before, narrow, 1)
    self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, 1)
    self.conv3 = nn.Conv2d(narrow, features, 1)
    self.norm = norm
    self.downsample = None
    if stride != 1:
      self.downsample = nn.Sequential(nn.Conv2d(before, features, 1, stride))

  def forward(self, x):
    y = x
    for conv in (self.conv1, self.conv2, self.conv3):
      y = functional.relu(self.norm(conv(y)))
    x = x if self.downsample is None else self.norm(self.downsample(x))
    return functional.relu(x + y)


class Encoder(nn.Module):
  def __init__(self, features: int, norm):
    super().__init__()
    self.norm = norm
    self.conv1 = nn.Conv2d(3, 32, 7, 2, 3)
    widths = (32, 32, 64, 96)
    for i in (1, 2, 3):
      before, own, stride = widths[i - 1], widths[i], 1 if i == 1 else 2
      units = Unit(before, own, stride, norm), Unit(own, own, 1, norm)
      setattr(self, f"layer{i}", nn.Sequential(*units))
    self.conv2 = nn.Conv2d(96, features, 1)

  def forward(self, x):
    x = functional.relu(self.norm(self.conv1(x)))
    return self.conv2(self.layer3(self.layer2(self.layer1(x))))


class Motion(nn.Module):
  def __init__(self):
    super().__init__()
    self.convc1 = nn.Conv2d(196, 96, 1)
    self.convf1 = nn.Conv2d(2, 64, 7, padding=3)
    self.convf2 = nn.Conv2d(64, 32, 3, padding=1)
    self.conv = nn.Conv2d(128, 80, 3, padding=1)

  def forward(self, flow, correlations):
    x = functional.relu(self.convc1(correlations))
    y = functional.relu(self.convf2(functional.relu(self.convf1(flow))))
    mixed = functional.relu(self.conv(torch.cat([x, y], 1)))
    return torch.cat([mixed, flow], 1)


class Gru(nn.Module):
  def __init__(self):
    super().__init__()
    for name in ("convz", "convr", "convq"):
      setattr(self, name, nn.Conv2d(242, _HIDDEN, 3, padding=1))

  def forward(self, hidden, x):
    both = torch.cat([hidden, x], 1)
    z, r = torch.sigmoid(self.convz(both)), torch.sigmoid(self.convr(both))
    q = torch.tanh(self.convq(torch.cat([r * hidden, x], 1)))
    return (1 - z) * hidden + z * q


class FlowHead(nn.Module):
  def __init__(self):
    super().__init__()
    self.conv1 = nn.Conv2d(_HIDDEN, 128, 3, padding=1)
    self.conv2 = nn.Conv2d(128, 2, 3, padding=1)

  def forward(self, x):
    return self.conv2(functional.relu(self.conv1(x)))


class Update(nn.Module):
  def __init__(self):
    super().__init__()
    self.encoder, self.gru, self.flow_head = Motion(), Gru(), FlowHead()


class RaftSmall(nn.Module):
  def __init__(self):
    super().__init__()
    self.fnet = Encoder(128, lambda x: functional.instance_norm(x, eps=1e-5))
    self.cnet = Encoder(160, lambda x: x)
    self.update_block = Update()

  def forward(self, first, second, updates: int):
    """The flow after each update, px; images in [-1, 1]."""
    one, two = self.fnet(first), self.fnet(second)
    batch, channels, height, width = one.shape
    products = torch.einsum("bcyx,bcvu->byxvu", one, two) / channels**0.5
    level = products.reshape(-1, 1, height, width)
    pyramid = [level]
    for _ in range(3):
      pyramid.append(functional.avg_pool2d(pyramid[-1], 2))
    hidden, context = self.cnet(first).split([_HIDDEN, 64], 1)
    hidden, context = torch.tanh(hidden), functional.relu(context)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    start = torch.stack([x, y]).float().expand(batch, -1, -1, -1)
    flow, flows = torch.zeros_like(start), []
    for _ in range(updates):
      motion = self.update_block.encoder(flow, sampled(pyramid, start + flow))
      hidden = self.update_block.gru(hidden, torch.cat([context, motion], 1))
      flow = flow + self.update_block.flow_head(hidden)
      flows.append(
        8
        * functional.interpolate(
          flow, scale_factor=8, mode="bilinear", align_corners=True
        )
      )
    return torch.stack(flows)


def sampled(pyramid, places):
  """7x7 correlations around the places, of which the columns come first."""
  batch, _, height, width = places.shape
  steps = torch.arange(-3.0, 4.0)
  # The first axis of the window moves x: the released weights expect that.
  offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
  centres = places.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
  found = []
  for level, volume in enumerate(pyramid):
    size = torch.tensor([volume.shape[-1], volume.shape[-2]])
    grid = 2 * (centres / 2**level + offsets) / (size - 1) - 1
    values = functional.grid_sample(volume, grid, align_corners=True)
    found.append(values.reshape(batch, height, width, -1))
  return torch.cat(found, -1).permute(0, 3, 1, 2)
