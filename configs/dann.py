r"""RGB against a domain classifier (103.0 mm PA-MPJPE on 3DPW in the paper).

python -m mhmr_jax.train --config=configs/dann.py --workdir=DIR

Ganin et al. 2016: half of each batch is clips of another domain, whose labels are
withheld. Here they are the `shifted` synthetic clips, in the paper's size Kinetics':

python -m mhmr_jax.train --config=configs/dann.py:paper --workdir=DIR \
  --config.kinetics.dir=VIDEOS --config.kinetics.pseudo_gt=PICKLES ...

Of the pseudo ground truth nothing is used but where and when a person is in view. The
paper's classifier is not known to us: these are Ganin's widths, and in the default a
small one. `metrics.jsonl` has domain_loss, domain_accuracy (0.5: the features hide
their domain) and domain_lambda.
"""

from ml_collections import ConfigDict

from configs import base

_TARGETS = {
  "": dict(dataset="synthetic_clips", variant="shifted"),
  "paper": dict(dataset="kinetics_pseudo_gt"),
}
_HIDDEN = {"": (256,), "paper": (1024, 1024)}


def get_config(variant: str = "") -> ConfigDict:
  config = base.get_config(("rgb",), variant)
  config.train.batch_size *= 2  # As many labelled clips a step as without a target.
  with config.unlocked():
    config.target = ConfigDict(_TARGETS[variant])
    # The schedule follows --config.train.steps.
    steps = config.train.get_ref("steps")
    config.model.domain_classifier = ConfigDict(
      dict(hidden=_HIDDEN[variant], steps=steps)
    )
    # Ganin's losses are both cross entropies; ours for people is in metres. At weight
    # 1, and still at 0.1, a small network hides its domain and learns little else.
    config.loss.domain_loss = 0.02
  return config
