"""What all experiments share: the default size for two CPU cores, and the paper's.

The paper does not give its clip length, batch size, optimiser, LSTM width, loss
weights or heatmap width; where it is silent, values are HMR's or ours.
"""

from ml_collections import ConfigDict


def default(inputs: tuple[str, ...]) -> ConfigDict:
  """Clips that the project makes itself, and a network for two CPU cores."""
  config = ConfigDict()
  config.seed = 0

  config.train = ConfigDict(
    dict(
      steps=2400,
      batch_size=32,
      learning_rate=1e-3,
      warmup_steps=100,
      weight_decay=1e-4,
      grad_clip=1.0,
      accumulate=1,  # Parts of a batch seen one after the other, where memory is short.
      checkpoint_every=250,
      print_every=25,
    )
  )
  # Of the devices, so many share one copy of each array of parameters and optimiser
  # state that has `fsdp_min_size` numbers or more.
  config.mesh = ConfigDict(dict(fsdp=1, fsdp_min_size=2**18))
  # The paper's loss has the joints' two terms alone, and so does `paper`. Rotations
  # are known of synthetic people; asking for them too trains much faster, and settles
  # the twists of limbs, which joints do not show.
  config.loss = ConfigDict(
    dict(joints_3d=5.0, joints_2d=1.0, rotations=2.0, betas=0.0, betas_prior=1e-3)
  )

  config.data = ConfigDict(
    dict(
      source="synthetic_clips",
      mixture={},  # Datasets and their shares of the examples; empty: source alone.
      people="rendered",  # Or "surreal".
      # What the clips have: full, plain, shifted, ... of mhmr_jax/synth/variants.py.
      # In "alone" there are no occluders, no others, no blur and no compression.
      variant="alone",
      dir="~/.cache/mhmr_jax",
      seed=0,
      num_clips=4800,
      test_fraction=0.05,
      clip_frames=16,  # Short: many people teach more than long clips.
      frame_size=128,  # Pixels of a stored frame's side.
      motion="",  # A folder of CMU or AMASS files; empty: procedural motion.
      backgrounds="",  # A folder of pictures or videos; empty: generated ones.
      processes=0,  # That generate clips; 0: one a core.
      window=8,  # Frames of a training example.
      size=64,  # Pixels of a crop's side.
      window_scale=1.25,  # Crop side over the longer side of the keypoints' box.
      jitter_scale=0.15,
      jitter_shift=0.08,
      workers=1,  # Processes that load; 0: none but the trainer.
    )
  )
  # At 64 pixels DIS's faster presets refine at full resolution, and are slower.
  # Or "exact", of clips that store it; or "flownets" or "raft", whose weights are a
  # work directory of mhmr_jax.train_flow or a file of torchvision's raft_small.
  # With cache it is estimated once, of whole stored frames, and kept with the clips.
  config.flow = ConfigDict(dict(source="dis", preset="medium", weights="", cache=False))
  # A file of `keypoints.fit_noise`, for noise like a detector's; empty: the defaults.
  config.keypoints = ConfigDict(dict(noise=True, noise_file=""))
  # Empty path: the free body. 3DPW's people have bodies of their gender. The joints of
  # protocol spin come from J_regressor_h36m, those of hmmr from cocoplus_regressor.
  config.body = ConfigDict(
    dict(path="", male="", female="", h36m_regressor="", cocoplus_regressor="")
  )
  config.surreal = ConfigDict(dict(dir=""))
  # Folders of the videos and of their pseudo ground truth; the file of its regressor,
  # which may be left out.
  config.kinetics = ConfigDict(dict(dir="", pseudo_gt="", regressor=""))
  # The folder that holds imageFiles and sequenceFiles; frames "stored" or "referenced".
  config.threedpw = ConfigDict(dict(dir="", frames="stored"))

  config.model = ConfigDict(
    dict(
      inputs=inputs,
      heatmap_sigma=0.05,  # In crop widths.
      flow_unit=0.05,  # Crop widths a frame that the encoder sees as 1.
      lstm_features=256,
      dtype="float32",
      encoder=dict(
        stage_blocks=(1,),
        stage_widths=(32,),
        bottleneck=False,
        stem_width=32,
        stem_kernel=8,  # Patches: one matrix product, the cheapest stem on a CPU.
        stem_stride=8,
        stem_pool=False,
        features=256,
        pool_grid=4,
        centroids=True,
        norm="batch",  # Or "ghost", or "group": docs/scaling.md.
        norm_momentum=0.97,
        norm_frames=64,  # Of ghost batch norm's groups.
        norm_groups=8,  # Of channels, in group norm.
        remat=False,
      ),
      regressor=dict(
        hidden=(1024, 1024), rounds=3, dropout=0.1, pose_representation="6d"
      ),
    )
  )
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
  config.loss.update(joints_3d=1.0, joints_2d=1.0, rotations=0.0, betas_prior=0.0)
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
      norm="batch",
      norm_momentum=0.99,
      norm_frames=8 * 31,
      norm_groups=32,
      remat=False,
    )
  )
  config.model.regressor = ConfigDict(
    dict(hidden=(1024, 1024), rounds=3, dropout=0.5, pose_representation="axis_angle")
  )
  return config


VARIANTS = {"": default, "paper": paper}


def get_config(inputs: tuple[str, ...], variant: str) -> ConfigDict:
  """The config of one choice of inputs; ValueError for a variant that is not."""
  if variant not in VARIANTS:
    raise ValueError(f"There is no variant {variant!r}: leave it out or use 'paper'.")
  config = VARIANTS[variant](inputs)
  return config.lock()
