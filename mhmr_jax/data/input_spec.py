"""Which inputs a network is given, and where its optical flow comes from."""

import dataclasses
from typing import Literal

from ml_collections import ConfigDict

from mhmr_jax.keypoints import form
from mhmr_jax.keypoints.noise import KeypointNoise

# The host estimates or reads the flow of these sources; a network on the device
# estimates that of the others.
HOST_FLOW = ("dis", "exact")


@dataclasses.dataclass(frozen=True)
class InputSpec:
  """The inputs of a network, as its config describes them.

  Attributes:
    inputs: some of `schema.INPUT_CHANNELS`.
    size: side of a crop, px.
    window: frames of an example or chunk.
    window_scale: side of a crop window over the longer side of the person's box.
    flow_source: one of `HOST_FLOW`, or a network of `flow.learned.KINDS`.
    flow_preset: preset of `dis.DisFlow`.
    noise: is added to exact keypoints; None for no noise.
    flow_cached: the flow is read from `flow_estimated` of the clips.
    window_in_camera: the place of the crop window in the camera is an input too.
  """

  inputs: tuple[str, ...]
  size: int
  window: int
  window_scale: float
  flow_source: str
  flow_preset: str
  noise: KeypointNoise | None
  flow_cached: bool = False
  window_in_camera: bool = False

  @classmethod
  def from_config(cls, config: ConfigDict) -> "InputSpec":
    """Reads the spec from a config.

    Raises:
      InputError: the file of keypoint noise cannot be read.
    """
    from mhmr_jax.keypoints import noise_file

    return cls(
      inputs=tuple(config.model.inputs),
      size=config.data.size,
      window=config.data.window,
      window_scale=config.data.window_scale,
      flow_source=config.flow.source,
      flow_preset=config.flow.preset,
      noise=noise_file.from_config(config),
      flow_cached=reads_cached_flow(config),
      window_in_camera=form.reads_coordinates(config),
    )

  def for_video(self) -> "InputSpec":
    """The spec for a video, which stores no flow: DIS stands in for exact flow."""
    source = "dis" if self.flow_source == "exact" else self.flow_source
    return dataclasses.replace(self, flow_source=source, flow_cached=False)

  @property
  def stored_flow(self) -> Literal["flow", "flow_estimated"] | None:
    """The field of the clips that flow is cropped from; None if flow is estimated."""
    if self.flow_cached:
      return "flow_estimated"
    return "flow" if self.flow_source == "exact" else None

  @property
  def host_inputs(self) -> tuple[str, ...]:
    """The inputs that the host makes.

    Where a network on the device estimates the flow, these have the images that it
    reads in the flow's place.
    """
    on_host = self.flow_cached or self.flow_source in HOST_FLOW
    window = ("window",) if self.window_in_camera else ()
    if "flow" not in self.inputs or on_host:
      return (*self.inputs, *window)
    others = [name for name in self.inputs if name not in ("rgb", "flow")]
    return ("rgb", "rgb_before", *others, *window)

  @property
  def colour(self) -> bool:
    """Whether the host needs images in colour."""
    return "rgb" in self.host_inputs

  @property
  def estimates_dis(self) -> bool:
    """Whether the host estimates the flow, by DIS."""
    return "flow" in self.host_inputs and self.stored_flow is None

  @property
  def needs_images(self) -> bool:
    """Whether the host makes any input from the frames' pixels."""
    return self.colour or self.estimates_dis


def reads_cached_flow(config: ConfigDict) -> bool:
  """Whether a config has flow read from the cache beside the clips."""
  return bool(config.flow.get("cache", False)) and "flow" in config.model.inputs
