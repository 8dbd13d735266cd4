r"""RGB against a domain classifier (103.0 mm PA-MPJPE on 3DPW in the paper).

python -m mhmr_jax.train --config=configs/dann.py --workdir=DIR

This is the domain-adversarial training of Ganin et al. 2016: half of each batch is
clips of another domain, whose labels are withheld. In the default these are the
`shifted` synthetic clips. They can be the people in a folder of your own videos, whom a
detector finds, and who have no labels:

python -m mhmr_jax.train --config=configs/dann.py --workdir=DIR \
  --config.target.dataset=unlabelled_videos --config.videos.dir=VIDEOS

In the paper's size they are Kinetics' clips:

python -m mhmr_jax.train --config=configs/dann.py:paper --workdir=DIR \
  --config.kinetics.dir=VIDEOS --config.kinetics.pseudo_gt=PICKLES ...

The pseudo ground truth only tells where and when a person is in view. We do not know
the paper's classifier: the paper's size has Ganin's widths, and the default a small
classifier. `metrics.jsonl` has domain_loss, domain_accuracy (0.5 if the features
hide their domain) and domain_lambda.
"""

from ml_collections import ConfigDict

from configs import base

_TARGETS = {
  "": dict(dataset="synthetic_clips", variant="shifted"),
  "small": dict(dataset="synthetic_clips", variant="shifted"),
  "paper": dict(dataset="kinetics_pseudo_gt"),
}
_HIDDEN = {"": (256,), "small": (256,), "paper": (1024, 1024)}


def get_config(variant: str = "") -> ConfigDict:
  config = base.get_config(("rgb",), variant)
  # An update has as many labelled clips as without a target domain.
  config.train.batch_size *= 2
  with config.unlocked():
    # The dataset of the target domain, and its variant if it has several.
    config.target = ConfigDict(_TARGETS[variant])
    # The reversed gradient grows over `steps`, which follow --config.train.steps;
    # `hidden` are the widths of the classifier's hidden layers.
    steps = config.train.get_ref("steps")
    config.model.domain_classifier = ConfigDict(
      dict(hidden=_HIDDEN[variant], steps=steps)
    )
    # Both losses of Ganin are cross entropies, but our loss of people is in metres.
    # With the weight 1, and even 0.1, a small network hides its domain and learns
    # little else.
    config.loss.domain_loss = 0.02
  return config
