"""The keys of all experiments, with the default, a small and the paper's size.

The default trains on two CPU cores in a quarter of an hour, and `small` in minutes. The
paper does not give its clip length, batch size, optimiser, LSTM width, loss weights or
heatmap width; we use HMR's values or our own instead.
"""

from ml_collections import ConfigDict


def default(inputs: tuple[str, ...]) -> ConfigDict:
  """The default: clips that the project generates, and a network for two CPU cores."""
  config = ConfigDict()
  config.seed = 0  # The seed of the parameters, of dropout and of the data's order.

  config.train = ConfigDict(
    dict(
      steps=2000,  # Updates in the whole run.
      # A work directory or a file of packed weights to begin with; if empty, random
      # weights. Inputs may be added to its network's.
      start="",
      batch_size=32,  # Clips per update, over all devices.
      # "adamw", or "muon", which makes the updates of matrices near-orthogonal.
      optimizer="adamw",
      learning_rate=1e-3,  # After the warm-up; it decays to 0 as a cosine.
      warmup_steps=100,  # Updates in which the learning rate rises from 0.
      hold=0.0,  # The share of the updates between the warm-up and the decay.
      weight_decay=1e-4,  # The decoupled decay, of weight matrices only.
      grad_clip=1.0,  # The largest norm of the gradients of an update.
      # The parts of a batch that run one after the other, to save memory.
      accumulate=1,
      checkpoint_every=250,  # Updates from one checkpoint to the next.
      print_every=25,  # Updates from one progress line to the next, off a terminal.
    )
  )
  # `fsdp` devices share one copy of the parameters and of the optimiser's state; with
  # 1 every device has its own. Arrays smaller than `fsdp_min_size` numbers are not
  # shared.
  config.mesh = ConfigDict(dict(fsdp=1, fsdp_min_size=2**18))
  # The weights of the loss terms. `joints_3d` is the error of Procrustes-aligned 3D
  # joints (metres), `joints_2d` that of reprojected joints (crop units, -1 to 1); these
  # two are the paper's loss, and that of `paper`. `joints_seen` is the error of the
  # joints that `model.encoder.joints` finds (crop units), and `joint_heatmaps` the
  # cross entropy of the heatmaps that it finds them by. `joints_relative` is the error
  # of joints relative to the pelvis without alignment, `joints_velocity` that of their
  # change from frame to frame (metres). The others are squared errors: of
  # rotation matrices, relative to the parent or in the camera's frame, of betas, of the
  # betas from 0, and of gravity's direction. `standing` is standing feet's cross
  # entropy.
  # Synthetic people have exact rotations; training on these too is much faster, and it
  # settles the twist of limbs, which joints do not show. In the camera's frame a limb's
  # direction depends on one rotation, and not on all of its chain.
  config.loss = ConfigDict(
    dict(
      joints_3d=5.0,
      joints_2d=1.0,
      joints_seen=0.0,
      joint_heatmaps=0.0,
      joints_relative=0.0,
      joints_velocity=0.0,
      rotations=0.0,
      rotations_camera=2.0,
      betas=0.0,
      betas_prior=1e-3,
      gravity=0.0,
      standing=0.0,
    )
  )

  config.data = ConfigDict(
    dict(
      # The training dataset: synthetic_clips, kinetics_pseudo_gt, or, for keypoints
      # alone, keypoint_examples, which are made on the device and not stored.
      source="synthetic_clips",
      # Datasets by name with their shares of the examples; if empty, `source` alone.
      mixture={},
      people="rendered",  # The people in synthetic clips; or "surreal", its videos.
      # What synthetic clips contain: full, plain, shifted or another variant in
      # mhmr_jax/synth/variants.py. "alone" has no occluders, no other people, no motion
      # blur and no compression.
      variant="alone",
      dir="~/.cache/mhmr_jax",  # The folder of generated and converted datasets.
      seed=0,  # The seed of the synthetic clips.
      num_clips=4800,  # Synthetic clips to generate, test clips included.
      test_fraction=0.05,  # The share of clips that is kept for tests.
      # Frames of a stored clip. Clips are short because many people teach more than
      # long clips.
      clip_frames=16,
      frame_size=128,  # The side of a stored frame, pixels.
      motion="",  # A folder of AMC, BVH, AMASS files; if empty, procedural motion.
      backgrounds="",  # A folder of pictures or videos; if empty, generated ones.
      processes=0,  # Processes that generate clips; 0 is one per core.
      window=8,  # Frames of a training example.
      size=64,  # The side of the crop that the network sees, pixels.
      # The side of the crop window over the longer side of the person's box.
      window_scale=1.25,
      jitter_scale=0.15,  # The largest random change of the side, as a share of it.
      jitter_shift=0.08,  # The largest random shift in x and y, as a share of the side.
      workers=1,  # Processes that load; with 0 the trainer loads by itself.
    )
  )
  # `source` is the estimator of optical flow: "dis" (OpenCV's), "exact" (the flow that
  # clips store), or the networks "flownets" and "raft", whose `weights` are a work
  # directory of mhmr_jax.train_flow or RAFT's raft-small.pth. `preset` is
  # DIS's: ultrafast, fast or medium. At 64 pixels the faster presets refine the flow at
  # full resolution and are slower. With `cache`, flow is estimated once, on whole
  # stored frames, and kept beside the clips.
  config.flow = ConfigDict(dict(source="dis", preset="medium", weights="", cache=False))
  # Keypoints enter the network as "heatmaps" among the image's channels, or as
  # "coordinates" through an encoder of their own (`form`). With `noise`, exact points
  # get the errors of a detector. `noise_file` is a file of
  # mhmr_jax.keypoints.fit_noise with their sizes; if empty, the defaults are used.
  with_keypoints = "keypoints" in inputs
  config.keypoints = ConfigDict(
    dict(
      form="coordinates" if with_keypoints else "heatmaps", noise=True, noise_file=""
    )
  )
  # What keypoint_examples are like: the share of procedural motion beside that of
  # `data.motion`, whether movements are varied beyond what was captured, and whether
  # cameras are "broad" (from below to high above, tilted) or "level".
  config.keypoint_examples = ConfigDict(
    dict(procedural=0.35, varied=True, cameras="broad")
  )
  # Body models: `path` is that of the network (if empty, the free body), `male` and
  # `female` those of 3DPW's people. `h36m_regressor` and `cocoplus_regressor` are files
  # of the joint regressors that the protocols spin and hmmr use.
  config.body = ConfigDict(
    dict(path="", male="", female="", h36m_regressor="", cocoplus_regressor="")
  )
  config.surreal = ConfigDict(dict(dir=""))  # The folder of SURREAL's videos.
  # The folders of Kinetics' videos and of the pseudo ground truth, and the file of the
  # latter's joint regressor, which is optional.
  config.kinetics = ConfigDict(dict(dir="", pseudo_gt="", regressor=""))
  # `dir` holds 3DPW's imageFiles and sequenceFiles. `frames` is "stored" to store
  # cut-outs of the people with the dataset, or "referenced" to read the release's own
  # images.
  config.threedpw = ConfigDict(dict(dir="", frames="stored"))
  # The folder of unlabelled_videos, which can be a target domain (configs/dann.py), and
  # the file of the weights of the detector that finds their people (if empty, it
  # downloads its own).
  config.videos = ConfigDict(dict(dir="", detector_weights=""))

  config.model = ConfigDict(
    dict(
      inputs=inputs,  # One or more of rgb, flow, keypoints.
      heatmap_sigma=0.05,  # Standard deviation of a keypoint's heatmap, crop widths.
      flow_unit=0.05,  # The flow that the encoder sees as 1, crop widths per frame.
      # Whether each frame's flow is taken less its mean and over its size instead, so
      # that cameras' motion does not matter, nor whether people move fast or slowly.
      flow_standardised=False,
      lstm_features=256,  # The size of the LSTM's state; 0 is a model without memory.
      # Whether a second LSTM runs backwards over the frames of a window, which then see
      # those after them: in files, not in streams.
      lstm_backward=False,
      dtype="float32",  # The activations' type; parameters are float32.
      # A pre-activation ResNet on every frame.
      encoder=dict(
        stage_blocks=(1,),  # Residual units of each stage.
        stage_widths=(32,),  # Channels of each stage.
        bottleneck=False,  # Whether units have bottlenecks, and 4 times the channels.
        # The first convolution. Patches are one matrix product: the cheapest on a CPU.
        stem_width=32,  # Its channels.
        stem_kernel=8,  # The side of its kernel, pixels.
        stem_stride=8,  # Its stride, pixels.
        stem_pool=False,  # Whether a 3x3 max pooling of stride 2 follows it.
        features=256,  # The numbers per frame; 0 is the channels of the last stage.
        pool_grid=4,  # The last map is averaged over a grid of 4 x 4 cells.
        centroids=True,  # Whether each input channel's centroid is a feature too.
        # Whether SMPL's joints are looked for, on a map of the first stage's size, as
        # features too. The terms `loss.joints_seen` and `loss.joint_heatmaps` teach
        # what to look for.
        joints=False,
        norm="batch",  # Or "ghost" or "group"; docs/scale.md compares them.
        norm_momentum=0.97,  # The part of the running statistics that an update keeps.
        norm_frames=64,  # Frames that "ghost" normalises together.
        norm_groups=8,  # Groups of channels that "group" normalises together.
        remat=False,  # Whether the backward pass recomputes units, to save memory.
      ),
      # The iterative regressor: the widths of its hidden layers, its rounds, the rate
      # of dropout, and how it represents rotations ("axis_angle", "6d", or "6d_camera",
      # which are not relative to the parent). With `feedback`, which needs keypoints as
      # coordinates, each round sees the reprojection error of the estimate so far. With
      # `world`, gravity and standing feet are outputs too.
      regressor=dict(
        hidden=(1024, 1024),
        rounds=3,
        dropout=0.1,
        pose_representation="6d_camera",
        feedback=with_keypoints,
        world=False,
      ),
    )
  )
  return config


def small(inputs: tuple[str, ...]) -> ConfigDict:
  """A size at which many trainings can be compared, each of minutes on two CPU cores.

  Its encoder sees limbs, which are 4 pixels wide in crops of 64, before it halves the
  map, and looks for joints in each frame.
  """
  config = default(inputs)
  config.train.update(steps=500, optimizer="muon", learning_rate=2e-3, print_every=50)
  config.loss.joints_seen = 5.0
  config.data.update(variant="full", num_clips=2_500, test_fraction=0.1)
  config.flow.cache = True
  config.model.flow_standardised = True
  config.model.encoder.update(
    stage_widths=(64,),
    stem_stride=4,
    stem_pool=True,
    pool_grid=8,
    centroids=False,
    joints=True,
  )
  config.model.regressor.update(hidden=(256, 256), dropout=0.0)
  return config


def paper(inputs: tuple[str, ...]) -> ConfigDict:
  """The paper's size: SURREAL's people over Kinetics, ResNet-50, 224x224."""
  config = default(inputs)
  config.train.update(
    steps=300_000,
    batch_size=128,
    learning_rate=1e-4,
    warmup_steps=2_000,
    weight_decay=0.0,
    checkpoint_every=1_000,
    print_every=100,
  )
  config.loss.update(
    joints_3d=1.0, joints_2d=1.0, rotations_camera=0.0, betas_prior=0.0
  )
  config.keypoints.form = "heatmaps"
  config.data.update(
    people="surreal",
    variant="full",
    num_clips=68_000,
    clip_frames=100,
    frame_size=256,
    window=31,
    size=224,
    workers=16,
  )
  config.flow.preset = "fast"
  config.model.update(lstm_features=2048, dtype="bfloat16")
  config.model.heatmap_sigma = 0.02
  config.model.encoder = ConfigDict(
    dict(
      stage_blocks=(3, 4, 6, 3),
      stage_widths=(64, 128, 256, 512),
      bottleneck=True,
      stem_width=64,
      stem_kernel=7,
      stem_stride=2,
      stem_pool=True,
      features=0,
      pool_grid=1,
      centroids=False,
      joints=False,
      norm="batch",
      norm_momentum=0.99,
      norm_frames=8 * 31,
      norm_groups=32,
      remat=False,
    )
  )
  config.model.regressor = ConfigDict(
    dict(
      hidden=(1024, 1024),
      rounds=3,
      dropout=0.5,
      pose_representation="axis_angle",
      feedback=False,
      world=False,
    )
  )
  return config


VARIANTS = {"": default, "small": small, "paper": paper}


def get_config(inputs: tuple[str, ...], variant: str) -> ConfigDict:
  """The locked config of one choice of inputs.

  Args:
    inputs: what the network sees: any of rgb, flow and keypoints.
    variant: '', 'small' or 'paper'.

  Raises:
    ValueError: there is no such variant.
  """
  if variant not in VARIANTS:
    raise ValueError(
      f"There is no variant {variant!r}: leave it out, or use 'small' or 'paper'."
    )
  config = VARIANTS[variant](inputs)
  return config.lock()
