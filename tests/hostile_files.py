"""Small valid files of every kind that is read, to be damaged and read.

A `Case` knows what a file holds, how it is written and how the package reads it;
`damaged_files.attempt` damages and reads one.
"""

import functools
import json
import pathlib
import pickle
import tempfile
from collections.abc import Callable
from typing import Any

import cv2
import jax
import numpy as np
import safetensors.numpy
from etils import epath
from ml_collections import ConfigDict

from data_builders.kinetics_pseudo_gt import reader as kinetics
from data_builders.threedpw import reader as threedpw
from mhmr_jax.body import model_files, regressor_files, smpl
from mhmr_jax.body.gendered import Bodies
from mhmr_jax.evaluation import predictions_file, protocols
from mhmr_jax.evaluation.scores import Scorer
from mhmr_jax.evaluation.truth import Truth
from mhmr_jax.export import prediction_npz
from mhmr_jax.files import (
  flow_images,
  images_folder,
  jpeg,
  pickles,
  tensor_files,
  video,
  workdirs,
)
from mhmr_jax.inference import intrinsics, packed
from mhmr_jax.inference.trained import TrainedRun
from mhmr_jax.keypoints import formats, noise_file
from mhmr_jax.models import motion_hmr
from mhmr_jax.motion import amass, bvh, cmu, pose_prior
from mhmr_jax.runtime import sharding
from mhmr_jax.synth import picture_files
from mhmr_jax.synth.surreal import info_files
from mhmr_jax.visualize import report
from tests import motions, tiny
from tests.body import random_smpl
from tests.body.made_up_regressors import made_up
from tests.damaged_files import Case
from tests.data_builders import miniature
from tests.files import python2, videos
from tests.motion import acclaim, biovision
from tests.synth import surreal_files

Folder = pathlib.Path

# How contents are written.


def _bytes(name: str) -> Callable[[Folder, Any], pathlib.Path]:
  def write(folder: Folder, content: bytes) -> pathlib.Path:
    (folder / name).write_bytes(content)
    return folder / name

  return write


def _json(name: str) -> Callable[[Folder, Any], pathlib.Path]:
  return lambda folder, content: _bytes(name)(folder, json.dumps(content).encode())


def _npz(folder: Folder, content: Any) -> pathlib.Path:
  save = np.savez if len(str(content)) % 2 else np.savez_compressed
  save(folder / "a.npz", **{str(k): np.asarray(v) for k, v in content.items()})
  return folder / "a.npz"


def _npy(folder: Folder, content: Any) -> pathlib.Path:
  np.save(folder / "a.npy", np.asarray(content))
  return folder / "a.npy"


def _pickle(folder: Folder, content: Any) -> pathlib.Path:
  return _bytes("a.pkl")(folder, pickle.dumps(content, protocol=2))


def _safetensors(folder: Folder, content: Any) -> pathlib.Path:
  arrays = {name: np.ascontiguousarray(value) for name, value in content.items()}
  return _bytes("a.safetensors")(folder, safetensors.numpy.save(arrays))


# What the files hold, and how they are read.


def _rng() -> np.random.Generator:
  return np.random.default_rng(0)


def _written(write: Callable[[Folder], pathlib.Path | None]) -> bytes:
  """The bytes of the file that a writer makes."""
  with tempfile.TemporaryDirectory() as name:
    path = write(pathlib.Path(name))
    assert path is not None
    return path.read_bytes()


@functools.cache
def _people() -> np.ndarray:
  people = _rng().uniform(10, 90, (6, 2, 17, 3)).round(2)
  people[..., 2] = 0.8
  return people


def _read_keypoints(name: str) -> Callable[[pathlib.Path], object]:
  def read(path: pathlib.Path) -> object:
    frames = formats.read(path, name, 6, (100, 100))
    assert all(np.isfinite(frame).all() for frame in frames)
    return frames

  return read


def _coco(annotations: bool) -> Any:
  entries = [
    {"image_id": i, "category_id": 1, "keypoints": person.ravel().tolist()}
    for i, frame in enumerate(_people())
    for person in frame
  ]
  images = [{"id": i, "file_name": f"{i:06d}.jpg"} for i in range(6)]
  return {"images": images, "annotations": entries} if annotations else entries


def _alphapose(form: str) -> Any:
  if form == "own":
    return [{**entry, "image_id": f"{entry['image_id']}.jpg"} for entry in _coco(False)]
  key, inner = {
    "open": ("people", "pose_keypoints_2d"),
    "cmu": ("bodies", "joints"),
  }[form]
  points = np.concatenate([_people(), _people()[:, :, :1]], axis=2)
  return {
    f"{i}.jpg": {key: [{inner: person.ravel().tolist()} for person in frame]}
    for i, frame in enumerate(points)
  }


def _mmpose(whole: bool) -> Any:
  frames = [
    {
      "frame_id": i + whole,
      "instances": [
        {"keypoints": p[:, :2].tolist(), "keypoint_scores": p[:, 2].tolist()}
        for p in frame
      ],
    }
    for i, frame in enumerate(_people())
  ]
  names = {name: i for i, name in enumerate(formats.mmpose.COCO_KEYPOINTS)}
  meta = {"keypoint_name2id": names}
  return {"meta_info": meta, "instance_info": frames} if whole else frames


def _openpose() -> Any:
  points = np.concatenate([_people(), _people()[:, :, :8]], axis=2)
  return [
    {"people": [{"pose_keypoints_2d": p.ravel().tolist()} for p in frame]}
    for frame in points
  ]


def _write_openpose(folder: Folder, content: Any) -> pathlib.Path:
  (folder / "out").mkdir(exist_ok=True)
  for i, frame in enumerate(content):
    text = json.dumps(frame)
    (folder / "out" / f"video_{i:012d}_keypoints.json").write_text(text)
  return folder / "out"


def _check_motion(motion: Any) -> None:
  assert np.isfinite(motion.pose).all()
  assert np.isfinite(motion.transl).all()


def _write_acclaim(folder: Folder, content: Any) -> pathlib.Path:
  for name, text in content.items():
    (folder / name).write_text(text)
  return folder


def _acclaim() -> dict[str, str]:
  with tempfile.TemporaryDirectory() as name:
    frames = [{"root": "0 1.5 0 0 9 0", "ltibia": f"{i}"} for i in range(12)]
    pair = acclaim.write_pair(pathlib.Path(name), frames)
    return {path.name: path.read_text() for path in pair}


def _bvh(folder: Folder) -> pathlib.Path:
  biovision.write(folder / "a.bvh", biovision.actor(frames=6))
  return folder / "a.bvh"


def _amass() -> Any:
  rng = _rng()
  return {
    "poses": rng.normal(0, 0.3, (8, 156)),
    "trans": rng.normal(0, 1, (8, 3)),
    "mocap_framerate": np.array(60.0),
  }


@functools.cache
def _bodies() -> dict[str, smpl.SmplModel]:
  return {"neutral": smpl.load(), "male": smpl.load(), "female": smpl.load()}


def _predictions() -> Any:
  return {
    "sequence": np.array(["a", "a", "b"]),
    "frame_index": np.array([0, 1, 0]),
    "pose": _rng().normal(0, 0.3, (3, 24, 3)),
    "betas": np.zeros((3, 10)),
  }


def _joint_predictions() -> Any:
  kept = {key: _predictions()[key] for key in ("sequence", "frame_index")}
  return {**kept, "joints": np.ones((3, 24, 3))}


def _read_predictions(path: pathlib.Path) -> object:
  clips: list[Any] = [
    {
      "pose": np.zeros((2, 24, 3), np.float32),
      "betas": np.zeros(10, np.float32),
      "joints_camera": np.zeros((2, 24, 3), np.float32),
      "valid": np.ones(2, bool),
      "frame_index": np.arange(2),
      "fps": 30.0,
      "sequence": name,
    }
    for name in ("a", "b")
  ]
  truth = Truth.of(clips, "synthetic_clips")
  bodies = Bodies(_bodies()["neutral"])
  scorer = Scorer(protocols.SMPL24, None, bodies, truth, sharding.make_mesh())
  return predictions_file.match(predictions_file.load(path), scorer)


@functools.cache
def _pose_prior() -> Any:
  return {name: value for name, value in tensor_files.read(pose_prior.SHIPPED).items()}


@functools.cache
def _packed() -> bytes:
  config = tiny.config(name="kp")
  shapes = motion_hmr.input_shapes(config)
  abstract = jax.eval_shape(
    lambda key: motion_hmr.init_variables(motion_hmr.from_config(config), key, shapes),
    jax.random.key(0),
  )
  variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), abstract)
  run = TrainedRun(config, variables, 3)

  def write(folder: Folder) -> pathlib.Path:
    packed.write(run, folder / "a.safetensors")
    return folder / "a.safetensors"

  return _written(write)


def _torch_weights(is_zip: bool) -> bytes:
  import torch

  def write(folder: Folder) -> pathlib.Path:
    tensors = {"a.b": torch.arange(6.0).reshape(2, 3).T, "c": torch.tensor(7)}
    path = folder / "a.pth"
    torch.save(tensors, path, _use_new_zipfile_serialization=is_zip)
    return folder / "a.pth"

  return _written(write)


@functools.cache
def _release() -> tuple[pathlib.Path, Any]:
  """A folder with a sequence of 3DPW, and what its pickle holds."""
  root = pathlib.Path(tempfile.mkdtemp(dir=tiny.RUN))
  content, _ = miniature.write_sequence(root, "test", "walk_00", _bodies(), "mf", 4)
  return root, content


def _write_threedpw(folder: Folder, content: Any) -> pathlib.Path:
  return _bytes("walk_00.pkl")(folder, python2.dumps(content))


def _kinetics() -> Any:
  body = _bodies()["neutral"]
  regressor = miniature.regressor_19(body)
  return miniature.kinetics_labels(_rng(), body, regressor, [1, 2, 3], 0.0)


@functools.cache
def _surreal() -> bytes:
  def write(folder: Folder) -> pathlib.Path:
    clip = surreal_files.write(folder, "run0/a/a_c0001", surreal_files.Scene(frames=3))
    return surreal_files.mat(clip.video, "info")

  return _written(write)


def _picture(suffix: str) -> bytes:
  picture = _rng().integers(0, 255, (24, 32, 3), np.uint8)
  return bytes(cv2.imencode(suffix, picture)[1])


def _read_jpeg(path: pathlib.Path) -> object:
  jpeg.size(path.read_bytes())
  return jpeg.decode(path.read_bytes(), colour=True)


def _read_workdir(path: pathlib.Path) -> object:
  return workdirs.load_config(epath.Path(path.parent))


def _config() -> Any:
  config: ConfigDict = tiny.config()
  return json.loads(json.dumps(config.to_dict()))


def _read_video(path: pathlib.Path) -> object:
  video.metadata(path)
  info = video.probe(path)
  return info, sum(1 for _ in video.read_frames(path))


def _body_arrays() -> Any:
  return random_smpl.arrays(60)


def _intrinsics() -> Any:
  return np.tile(np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]]), (6, 1, 1))


def _motion() -> Any:
  return motions.walking(_bodies()["neutral"], frames=5)._asdict()


def _regressor() -> Any:
  return made_up(_bodies()["neutral"], regressor_files.KINDS["h36m"])


def _read_regressor(path: pathlib.Path) -> object:
  return regressor_files.read(path, "h36m", _bodies()["neutral"])


def _history() -> bytes:
  lines = [json.dumps({"step": i, "loss": 1.5}) for i in range(4)]
  return "\n".join(lines).encode()


CASES = [
  Case("keypoints npz", lambda: {"keypoints": _people()}, _npz, _read_keypoints("npz")),
  Case(
    "keypoints npz with numbers",
    lambda: {"keypoints": _people()[:4], "frame_index": np.arange(4)},
    _npz,
    _read_keypoints("npz"),
  ),
  Case("COCO results", lambda: _coco(False), _json("a.json"), _read_keypoints("coco")),
  Case(
    "COCO annotations", lambda: _coco(True), _json("a.json"), _read_keypoints("coco")
  ),
  *(
    Case(
      f"AlphaPose {form}",
      functools.partial(_alphapose, form),
      _json("a.json"),
      _read_keypoints("alphapose"),
    )
    for form in ("own", "open", "cmu")
  ),
  *(
    Case(
      f"MMPose {'script' if whole else 'inferencer'}",
      functools.partial(_mmpose, whole),
      _json("a.json"),
      _read_keypoints("mmpose"),
    )
    for whole in (False, True)
  ),
  Case("OpenPose", _openpose, _write_openpose, _read_keypoints("openpose_body25")),
  Case(
    "BVH",
    lambda: _written(_bvh),
    _bytes("a.bvh"),
    lambda path: _check_motion(bvh.read(path)),
  ),
  Case(
    "ASF and AMC",
    lambda: _acclaim(),
    _write_acclaim,
    lambda path: _check_motion(cmu.read(path / "09.asf", path / "09_01.amc")),
  ),
  Case("AMASS", _amass, _npz, lambda path: _check_motion(amass.read(path))),
  Case("SMPL npz", _body_arrays, _npz, smpl.load),
  Case("SMPL pickle", _body_arrays, _pickle, smpl.load),
  Case("pickle", _body_arrays, _pickle, pickles.restricted_load),
  Case("body model pickle", _body_arrays, _pickle, model_files.read_model),
  Case("regressor npy", _regressor, _npy, _read_regressor),
  Case("regressor pickle", _regressor, _pickle, _read_regressor),
  Case(
    "3DPW",
    lambda: _release()[1],
    _write_threedpw,
    lambda path: threedpw.read_sequence(_release()[0], path, _bodies()),
  ),
  Case("Kinetics labels", _kinetics, _pickle, kinetics.read_labels),
  Case("SURREAL", _surreal, _bytes("a_info.mat"), info_files.read_info),
  Case("safetensors", lambda: {"a": np.ones(3)}, _safetensors, tensor_files.read),
  *(
    Case(name, make, _bytes("a.pth"), tensor_files.read)
    for name, make in (
      ("torch", lambda: _torch_weights(True)),
      ("torch before 1.6", lambda: _torch_weights(False)),
    )
  ),
  Case("pose prior", _pose_prior, _safetensors, pose_prior.read),
  Case("packed weights", _packed, _bytes("a.safetensors"), packed.read),
  Case(
    "flow PNG",
    lambda: flow_images.encode_png(_rng().normal(0, 3, (12, 16, 2))),
    _bytes("a.png"),
    lambda path: flow_images.decode_png(path.read_bytes()),
    (ValueError,),
  ),
  Case("JPEG", lambda: _picture(".jpg"), _bytes("a.jpg"), _read_jpeg),
  Case(
    "images",
    lambda: _picture(".png"),
    _bytes("1.png"),
    lambda path: list(images_folder.read(path.parent)),
  ),
  Case(
    "background",
    lambda: _picture(".png"),
    _bytes("a.png"),
    lambda path: picture_files.read(path, 16.0),
  ),
  Case(
    "intrinsics JSON",
    lambda: {"intrinsics": _intrinsics()[0].tolist()},
    _json("a.json"),
    lambda path: intrinsics.read(path, 6),
  ),
  Case(
    "intrinsics npz",
    lambda: {"intrinsics": _intrinsics()},
    _npz,
    lambda path: intrinsics.read(path, 6),
  ),
  Case("prediction", _motion, _npz, prediction_npz.read),
  Case("predictions, bodies", _predictions, _npz, _read_predictions),
  Case("predictions, joints", _joint_predictions, _npz, _read_predictions),
  Case(
    "keypoint noise",
    lambda: {"jitter": 0.1, "run": 3, "occluded": 2.5},
    _json("a.json"),
    noise_file.read,
  ),
  Case("config.json", _config, _json("config.json"), _read_workdir),
  Case("metrics.jsonl", _history, _bytes("metrics.jsonl"), report.read_history),
  Case(
    "video",
    lambda: _written(lambda folder: videos.write(folder / "a.mp4", frames=4)),
    _bytes("a.mp4"),
    _read_video,
  ),
]
