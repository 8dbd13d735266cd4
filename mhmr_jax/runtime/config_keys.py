"""Every key of the configs and what its value can be, declared in one place.

`config_check` checks configs by it, and docs/configs.md is made from it. The meaning of
the keys is written beside their defaults, in configs/base.py and the other files there.
"""

from typing import NamedTuple

from mhmr_jax.runtime.config_rules import (
  Rule,
  choice,
  interval,
  number,
  one_of,
  path,
  shares,
  some,
  switch,
  whole,
  wholes,
)

# Datasets of stored clips with labels and without, and examples that are made on the
# device.
LABELLED = ("synthetic_clips", "threedpw", "kinetics_pseudo_gt")
UNLABELLED = "unlabelled_videos"
GENERATED = "keypoint_examples"
VARIANTS = (
  *("full", "static_background", "static_camera", "no_occluders", "plain"),
  *("shifted", "alone"),
)
# The sizes that a step counter of 32 bits, and JAX's keys, can hold.
_STEPS = 2**31 - 2
_SEED = 2**32 - 1
_COUNT = 10**9
_WIDTH = 65_536


class Key(NamedTuple):
  """A key of a config.

  Attributes:
    rule: what its value can be.
    required: whether a config without it is refused. Keys that are not required are
      newer than the first runs, or belong to one method alone.
  """

  rule: Rule
  required: bool = True


_ANYWHERE = {
  "seed": Key(whole(0, _SEED)),
  "train.steps": Key(whole(1, _STEPS)),
  "train.batch_size": Key(whole(1, 2**20)),
  "train.optimizer": Key(choice("adamw", "muon"), required=False),
  "train.learning_rate": Key(number(0, 1000, above=True)),
  "train.warmup_steps": Key(whole(0, _STEPS)),
  "train.hold": Key(number(0, 1), required=False),
  "train.weight_decay": Key(number(0, 1000)),
  "train.grad_clip": Key(number(0, 1e9, above=True)),
  "train.accumulate": Key(whole(1, 2**20)),
  "train.checkpoint_every": Key(whole(1, _COUNT)),
  "train.print_every": Key(whole(1, _COUNT)),
  "mesh.fsdp": Key(whole(1, 2**20)),
  "mesh.fsdp_min_size": Key(whole(0, 2**62)),
  "data.source": Key(choice(*LABELLED, GENERATED)),
  "data.mixture": Key(shares(*LABELLED, GENERATED), required=False),
  "data.people": Key(choice("rendered", "surreal")),
  "data.variant": Key(choice(*VARIANTS), required=False),
  "data.dir": Key(path()),
  "data.seed": Key(whole(0, _SEED)),
  "data.num_clips": Key(whole(2, _COUNT)),
  "data.test_fraction": Key(number(0, 1, above=True, below=True)),
  "data.clip_frames": Key(whole(2, 10_000)),
  "data.frame_size": Key(whole(16, 4096)),
  "data.motion": Key(path()),
  "data.backgrounds": Key(path()),
  "data.processes": Key(whole(0, 1024)),
  "data.window": Key(whole(1, 10_000)),
  "data.size": Key(whole(16, 2048)),
  "data.window_scale": Key(number(0.1, 10)),
  "data.jitter_scale": Key(number(0, 0.9)),
  "data.jitter_shift": Key(number(0, 1)),
  "data.workers": Key(whole(0, 1024)),
  "keypoint_examples.procedural": Key(number(0, 1), required=False),
  "keypoint_examples.varied": Key(switch(), required=False),
  "keypoint_examples.cameras": Key(choice("broad", "level"), required=False),
  "body.path": Key(path()),
  "body.male": Key(path(), required=False),
  "body.female": Key(path(), required=False),
  "body.h36m_regressor": Key(path(), required=False),
  "body.cocoplus_regressor": Key(path(), required=False),
  "surreal.dir": Key(path(), required=False),
  "kinetics.dir": Key(path(), required=False),
  "kinetics.pseudo_gt": Key(path(), required=False),
  "kinetics.regressor": Key(path(), required=False),
  "threedpw.dir": Key(path(), required=False),
  "threedpw.frames": Key(choice("stored", "referenced"), required=False),
  "videos.dir": Key(path(), required=False),
  "videos.detector_weights": Key(path(), required=False),
}

# The keys of mhmr_jax.train.
MOTION = {
  **_ANYWHERE,
  "train.start": Key(path(), required=False),
  **{
    f"loss.{term}": Key(number(0, 1e6))
    for term in ("joints_3d", "joints_2d", "rotations", "betas_prior")
  },
  **{
    f"loss.{term}": Key(number(0, 1e6), required=False)
    for term in (
      *("joints_seen", "joint_heatmaps", "joints_relative", "joints_velocity"),
      *("rotations_camera", "betas", "gravity", "standing", "domain_loss"),
    )
  },
  "flow.source": Key(choice("dis", "exact", "flownets", "raft")),
  "flow.preset": Key(choice("ultrafast", "fast", "medium")),
  "flow.weights": Key(path(), required=False),
  "flow.cache": Key(switch(), required=False),
  "keypoints.form": Key(choice("heatmaps", "coordinates"), required=False),
  "keypoints.noise": Key(switch()),
  "keypoints.noise_file": Key(path(), required=False),
  "target.dataset": Key(choice(*LABELLED, UNLABELLED), required=False),
  "target.variant": Key(choice(*VARIANTS), required=False),
  "model.inputs": Key(some("rgb", "flow", "keypoints")),
  "model.heatmap_sigma": Key(number(0, 1, above=True)),
  "model.flow_unit": Key(number(0, 100, above=True)),
  "model.flow_standardised": Key(switch(), required=False),
  "model.lstm_features": Key(whole(0, _WIDTH)),
  "model.lstm_backward": Key(switch(), required=False),
  "model.dtype": Key(choice("float32", "bfloat16")),
  "model.encoder.stage_blocks": Key(wholes(1, 1000, 8)),
  "model.encoder.stage_widths": Key(wholes(1, _WIDTH, 8)),
  "model.encoder.bottleneck": Key(switch()),
  "model.encoder.stem_width": Key(whole(1, _WIDTH)),
  "model.encoder.stem_kernel": Key(whole(1, 64)),
  "model.encoder.stem_stride": Key(whole(1, 64)),
  "model.encoder.stem_pool": Key(switch()),
  "model.encoder.features": Key(whole(0, _WIDTH)),
  "model.encoder.pool_grid": Key(whole(1, 256)),
  "model.encoder.centroids": Key(switch()),
  "model.encoder.joints": Key(switch(), required=False),
  "model.encoder.norm": Key(choice("batch", "ghost", "group")),
  "model.encoder.norm_momentum": Key(number(0, 1, below=True)),
  "model.encoder.norm_frames": Key(whole(1, _COUNT), required=False),
  "model.encoder.norm_groups": Key(whole(1, _WIDTH), required=False),
  "model.encoder.remat": Key(switch(), required=False),
  "model.regressor.hidden": Key(wholes(1, _WIDTH, 16)),
  "model.regressor.rounds": Key(whole(1, 100)),
  "model.regressor.dropout": Key(number(0, 1, below=True)),
  "model.regressor.pose_representation": Key(choice("axis_angle", "6d", "6d_camera")),
  "model.regressor.feedback": Key(switch(), required=False),
  "model.regressor.world": Key(switch(), required=False),
  "model.domain_classifier.hidden": Key(wholes(1, _WIDTH, 16), required=False),
  "model.domain_classifier.steps": Key(whole(1, _STEPS), required=False),
}

# The keys of mhmr_jax.train_flow; which of the network's there are depends on its kind.
FLOW = {
  **_ANYWHERE,
  "data.scales": Key(interval(0, 10)),
  "data.shift": Key(number(0, 10)),
  "model.kind": Key(choice("flownets", "raft")),
  "model.width": Key(number(0, 16, above=True), required=False),
  "model.finest": Key(one_of(2, 4), required=False),
  "model.unit": Key(number(0, 10_000, above=True), required=False),
  "model.updates": Key(whole(1, 1000), required=False),
}

# The keys that each kind of flow network has.
FLOW_NETWORKS = {"flownets": {"width", "finest", "unit"}, "raft": {"updates"}}
