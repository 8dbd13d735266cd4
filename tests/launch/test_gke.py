import copy
import pathlib
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.launch import stubs

FLAGS = ["--workdir=gs://bucket/run", "--config=configs/flow_kp.py:paper"]
IMAGE = {"IMAGE": "registry/mhmr:1"}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
  return {
    "type": "object",
    "properties": properties,
    "required": required,
    "additionalProperties": False,
  }


_COUNT = {"type": "integer", "minimum": 0}
_NAME = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"}
_RULE = _object(
  ["name", "action"],
  name={"type": "string", "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
  action={
    "enum": [
      "FailJobSet",
      "RestartJobSet",
      "RestartJobSetAndIgnoreMaxRestarts",
      "RestartJob",
      "RestartJobAndIgnoreMaxRestarts",
    ]
  },
  # The reasons that a Job's controller gives; JobSet's own webhook takes no others.
  onJobFailureReasons={
    "type": "array",
    "uniqueItems": True,
    "items": {
      "enum": [
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "FailedIndexes",
        "MaxFailedIndexesExceeded",
        "PodFailurePolicy",
      ]
    },
  },
  targetReplicatedJobs={"type": "array", "items": _NAME},
)
# What jobset.x-k8s.io/v1alpha2 says of the fields that we use; no package has it. The
# template of a job is Kubernetes' own.
_JOBSET = _object(
  ["apiVersion", "kind", "metadata", "spec"],
  apiVersion={"const": "jobset.x-k8s.io/v1alpha2"},
  kind={"const": "JobSet"},
  metadata=_object(
    ["name"],
    name=_NAME | {"maxLength": 40},  # The pods' names add to it, and may have 63.
    annotations={"type": "object", "additionalProperties": {"type": "string"}},
  ),
  spec=_object(
    ["replicatedJobs"],
    failurePolicy=_object(
      [], maxRestarts=_COUNT, rules={"type": "array", "items": _RULE}
    ),
    replicatedJobs={
      "type": "array",
      "minItems": 1,
      "items": _object(
        ["name", "template"],
        name=_NAME,
        replicas=_COUNT,
        template={"type": "object"},
      ),
    },
  ),
)


def check(jobset: dict[str, Any]) -> None:
  """Raises a ValidationError for a field that does not exist, or has another type."""
  jsonschema.Draft202012Validator(_JOBSET).validate(jobset)
  for job in jobset["spec"]["replicatedJobs"]:
    whole = {"apiVersion": "batch/v1", "kind": "Job"}
    whole |= {"metadata": {"name": job["name"]}} | job["template"]
    kubernetes_validate.validate(whole, "1.33", strict=True)


@pytest.fixture
def cluster(tmp_path: pathlib.Path) -> stubs.Stubs:
  cluster = stubs.Stubs(tmp_path)
  cluster.add("kubectl", {"apply": ["cat >applied.yaml"]})
  return cluster


def applied(
  cluster: stubs.Stubs, flags: list[str] = FLAGS, **variables: str
) -> dict[str, Any]:
  status, _, errors = cluster.run("gke.sh", "run", *flags, **IMAGE, **variables)
  assert status == 0, errors
  jobset: dict[str, Any] = yaml.safe_load((cluster.folder / "applied.yaml").read_text())
  return jobset


def _job(jobset: dict[str, Any]) -> dict[str, Any]:
  (replicated,) = jobset["spec"]["replicatedJobs"]
  job: dict[str, Any] = replicated["template"]["spec"]
  return job


def _pod(jobset: dict[str, Any]) -> dict[str, Any]:
  pod: dict[str, Any] = _job(jobset)["template"]["spec"]
  return pod


def test_submits_what_kubernetes_takes(cluster: stubs.Stubs) -> None:
  jobset = applied(cluster)
  check(jobset)
  (container,) = _pod(jobset)["containers"]
  assert container["image"] == "registry/mhmr:1"
  assert container["command"] == ["python", "-m", "mhmr_jax.train", "--distributed"]
  assert container["args"] == [*FLAGS, "--config.data.dir=/data"]


@pytest.mark.parametrize(
  ("topology", "chips", "hosts"),
  [("4x4", "4", 4), ("2x4", "8", 1), ("4x4x8", "4", 32), ("16x16", "4", 64)],
)
def test_a_pod_for_each_host_of_the_slice(
  cluster: stubs.Stubs, topology: str, chips: str, hosts: int
) -> None:
  jobset = applied(cluster, TOPOLOGY=topology, CHIPS=chips)
  check(jobset)
  job, pod = _job(jobset), _pod(jobset)
  assert job["completions"] == job["parallelism"] == hosts
  assert job["completionMode"] == "Indexed"
  assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == topology
  assert pod["containers"][0]["resources"]["limits"] == {"google.com/tpu": int(chips)}


def test_bad_input_fails_and_all_else_restarts(cluster: stubs.Stubs) -> None:
  jobset = applied(cluster, RESTARTS="7")
  job = _job(jobset)
  # A pod that fails fails the job: by exit code 1 for this reason, else for the other.
  assert job["backoffLimit"] == 0
  assert job["template"]["spec"]["restartPolicy"] == "Never"
  (rule,) = job["podFailurePolicy"]["rules"]
  assert rule["action"] == "FailJob"
  assert rule["onExitCodes"]["values"] == [1]
  policy = jobset["spec"]["failurePolicy"]
  assert policy["maxRestarts"] == 7
  actions = {rule["onJobFailureReasons"][0]: rule["action"] for rule in policy["rules"]}
  assert actions == {
    "PodFailurePolicy": "FailJobSet",
    "BackoffLimitExceeded": "RestartJobSet",
  }


def test_flags_arrive_as_they_are(cluster: stubs.Stubs) -> None:
  odd = ["--workdir=gs://b/r", """--config.x=a 'b' "c" ${IMAGE} \\ : # {é}"""]
  jobset = applied(cluster, odd)
  assert _pod(jobset)["containers"][0]["args"][:2] == odd


def test_a_shared_volume_holds_clips_and_checkpoints(cluster: stubs.Stubs) -> None:
  volume = "persistentVolumeClaim: {claimName: clips}"
  jobset = applied(cluster, ["--workdir=/data/run"], DATA=volume)
  check(jobset)
  data = next(each for each in _pod(jobset)["volumes"] if each["name"] == "data")
  assert data["persistentVolumeClaim"] == {"claimName": "clips"}


@pytest.mark.parametrize(
  "path",
  [
    ("spec", "failurePolicy", "maxRestart"),
    ("spec", "failurePolicy", "rules", 0, "onExitCodes"),
    ("spec", "replicatedJobs", 0, "template", "spec", "podFailurePolicy", "rule"),
    ("spec", "replicatedJobs", 0, "template", "spec", "template", "spec", "volume"),
    (
      *("spec", "replicatedJobs", 0, "template", "spec", "template", "spec"),
      *("containers", 0, "resource"),
    ),
  ],
)
def test_the_check_finds_a_misspelt_field(
  cluster: stubs.Stubs, path: tuple[str | int, ...]
) -> None:
  jobset = copy.deepcopy(applied(cluster))
  *parents, name = path
  parent: Any = jobset
  for key in parents:
    parent = parent[key]
  parent[name] = {}
  with pytest.raises(jsonschema.ValidationError, match=str(name)):
    check(jobset)


def test_watching_and_stopping(cluster: stubs.Stubs) -> None:
  assert cluster.run("gke.sh", "logs", NAME="mine")[0] == 0
  assert cluster.run("gke.sh", "delete", NAME="mine")[0] == 0
  logs, delete = cluster.calls("kubectl")
  assert logs[0] == "logs"
  assert "jobset.sigs.k8s.io/jobset-name=mine" in logs[-1]
  assert delete == ["delete", "jobset", "mine"]


@pytest.mark.parametrize(
  ("arguments", "variables", "says"),
  [
    (["run", *FLAGS], {}, "IMAGE is missing"),
    (["run"], IMAGE, "--workdir is missing"),
    (["run", "--workdir=/data/run"], IMAGE, "--workdir would go with the pod"),
    (["run", *FLAGS], IMAGE | {"TOPOLOGY": "4"}, "TOPOLOGY=4 is not made of hosts"),
    (["run", *FLAGS], IMAGE | {"TOPOLOGY": "2x3"}, "TOPOLOGY=2x3 is not made of"),
    ([], IMAGE, "Say what to do"),
  ],
)
def test_missing_parameters_are_named(
  cluster: stubs.Stubs, arguments: list[str], variables: dict[str, str], says: str
) -> None:
  status, _, errors = cluster.run("gke.sh", *arguments, **variables)
  assert status == 1
  assert says in stubs.sentence(errors)
  assert not cluster.calls("kubectl")
