"""Hostile files of every kind: a valid result or one sentence, and nothing else.

`python -m tests.benchmarks.fuzz` tries more of them.
"""

import random as random_module

import hypothesis
import pytest
from hypothesis import strategies

from tests import damaged_files, hostile_files

# These take longest.
_FEW = ("video", "3DPW", "packed weights", "pose prior", "SMPL npz", "prediction")


@pytest.mark.parametrize("case", hostile_files.CASES, ids=lambda case: case.name)
def test_a_file_as_it_is_written_is_read(case, tmp_path):
  case.read(case.write(tmp_path, case.content))


@pytest.mark.parametrize("case", hostile_files.CASES, ids=lambda case: case.name)
def test_hostile_files_are_read_or_refused_in_a_sentence(case):
  examples = 3 if case.name in _FEW else 12

  @hypothesis.settings(max_examples=examples, derandomize=True, deadline=None)
  @hypothesis.given(random=strategies.randoms(use_true_random=False))
  def check(random):
    damaged_files.attempt(case, random)

  check()


# The inputs by which `tests.benchmarks.fuzz` found a fault that was then mended.
_FOUND = [
  ("keypoints npz", 0),
  ("keypoints npz with numbers", 242),
  ("COCO results", 56),
  ("COCO annotations", 328),
  ("AlphaPose own", 422),
  ("AlphaPose open", 24),
  ("AlphaPose cmu", 56),
  ("AlphaPose cmu", 244),
  ("MMPose inferencer", 177),
  ("MMPose script", 68),
  ("OpenPose", 18),
  ("SMPL npz", 12707),
  ("background", 690),
  ("keypoint noise", 9),
  ("flow PNG", 100367),
  ("pose prior", 101219),
  ("regressor pickle", 102480),
  ("metrics.jsonl", 0),
  ("torch before 1.6", 599),
]


@pytest.mark.parametrize(("name", "seed"), _FOUND)
def test_faults_that_were_found_do_not_come_back(name, seed):
  (case,) = (case for case in hostile_files.CASES if case.name == name)
  damaged_files.attempt(case, random_module.Random(seed))
