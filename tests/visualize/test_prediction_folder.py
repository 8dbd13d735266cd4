"""Which files of an earlier run go; the rest is tested by tests/test_predict.py."""

import json

import pytest

from mhmr_jax.visualize import prediction_folder


def test_the_files_of_the_people_in_the_summary_are_an_earlier_runs(tmp_path):
  people = [{"person": 0, "frames": 3}, {"person": 12}]
  (tmp_path / "summary.json").write_text(json.dumps({"people": people}))
  assert list(map(str, prediction_folder.earlier_files(tmp_path))) == [
    f"{folder}/{name}"
    for folder in ("person_00", "person_12")
    for name in ("prediction.npz", "motion_amass.npz", "motion.bvh")
  ]


@pytest.mark.parametrize(
  "summary",
  [
    *("", "[]", "{}", '{"people": 3}', '{"people": [{}, 1]}', '{"people": null}'),
    *('{"people": [{"person": "/etc"}]}', '{"people": [{"person": 1.5}]}'),
  ],
)
def test_another_summary_names_none(tmp_path, summary):
  (tmp_path / "summary.json").write_text(summary)
  assert prediction_folder.earlier_files(tmp_path) == []


def test_without_a_summary_there_are_none(tmp_path):
  assert prediction_folder.earlier_files(tmp_path) == []
