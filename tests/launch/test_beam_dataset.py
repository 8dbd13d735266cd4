import pathlib
import sys

import pytest
from apache_beam.options import pipeline_options

from tests.launch import stubs

CLIPS = ["--num_clips=100", "--variant=full", "--data_dir=/data"]
DATAFLOW = {
  "RUNNER": "dataflow",
  "BEAM_FOLDER": "gs://bucket/clips",
  "IMAGE": "registry/mhmr:1",
  "PROJECT": "ours",
  "REGION": "us-central1",
}
FLINK = {
  "RUNNER": "flink",
  "BEAM_FOLDER": "s3://bucket/clips",
  "IMAGE": "registry/mhmr:1",
  "MASTER": "host:8081",
}
SPARK = FLINK | {"RUNNER": "spark", "MASTER": "spark://host:7077"}
LOCAL = {"RUNNER": "local", "WORKERS": "3"}


@pytest.fixture
def machine(tmp_path: pathlib.Path) -> stubs.Stubs:
  machine = stubs.Stubs(tmp_path)
  machine.add("python")
  return machine


def launch(machine: stubs.Stubs, variables: dict[str, str]) -> tuple[int, str, str]:
  return machine.run("beam_dataset.sh", *CLIPS, VIRTUAL_ENV=sys.prefix, **variables)


@pytest.mark.parametrize(
  ("variables", "expected"),
  [
    (
      DATAFLOW,
      {
        "runner": "DataflowRunner",
        "project": "ours",
        "region": "us-central1",
        "temp_location": "gs://bucket/clips.tmp",
        "max_num_workers": 64,
        "sdk_container_image": "registry/mhmr:1",
        "sdk_location": "container",
      },
    ),
    (
      FLINK,
      {
        "runner": "FlinkRunner",
        "flink_master": "host:8081",
        "parallelism": 64,
        "environment_type": "DOCKER",
        "environment_config": "registry/mhmr:1",
      },
    ),
    (
      SPARK,
      {
        "runner": "SparkRunner",
        "spark_master_url": "spark://host:7077",
        "environment_type": "DOCKER",
        "environment_config": "registry/mhmr:1",
      },
    ),
    (
      LOCAL,
      {
        "runner": "DirectRunner",
        "direct_running_mode": "multi_processing",
        "direct_num_workers": 3,
      },
    ),
  ],
)
def test_beam_understands_the_options(
  machine: stubs.Stubs, variables: dict[str, str], expected: dict[str, object]
) -> None:
  assert launch(machine, variables) == (0, "", "")
  (call,) = machine.calls("python")
  assert call[:2] == ["-m", "data_builders.synthetic_clips"]
  flag = next(part for part in call if part.startswith("--beam_options="))
  words = flag.removeprefix("--beam_options=").split()
  understood = pipeline_options.PipelineOptions(words).get_all_options(
    drop_default=True
  )
  assert understood == expected
  folder = variables.get("BEAM_FOLDER")
  assert call[3:] == ([f"--beam_folder={folder}"] if folder else []) + CLIPS


@pytest.mark.parametrize(
  ("variables", "missing"),
  [
    (variables, name)
    for variables in (DATAFLOW, FLINK, SPARK)
    for name in variables
    if name != "RUNNER"
  ],
)
def test_missing_parameters_are_named(
  machine: stubs.Stubs, variables: dict[str, str], missing: str
) -> None:
  status, _, errors = launch(machine, variables | {missing: ""})
  assert status == 1
  assert f"{missing} is missing for RUNNER=" in stubs.sentence(errors)
  assert not machine.calls("python")


@pytest.mark.parametrize(
  ("variables", "says"),
  [
    ({"RUNNER": "storm"}, "RUNNER is 'storm': choose"),
    (DATAFLOW | {"BEAM_FOLDER": "/shared"}, "BEAM_FOLDER is '/shared'"),
  ],
)
def test_wrong_parameters_are_named(
  machine: stubs.Stubs, variables: dict[str, str], says: str
) -> None:
  status, _, errors = launch(machine, variables)
  assert status == 1
  assert says in stubs.sentence(errors)
  assert not machine.calls("python")
