import pytest
import scipy.io

from mhmr_jax.errors import InputError
from mhmr_jax.synth.surreal import footage_files, info_files
from tests.synth import surreal_files

LENGTH = 8


def test_flow_that_is_another_bodys_is_refused(tmp_path):
  scene = surreal_files.Scene(frames=LENGTH)
  truth = surreal_files.write(tmp_path, "run0/01_01/01_01_c0001", scene)
  maps = scipy.io.loadmat(surreal_files.mat(truth.video, "gtflow"))
  maps = {k: v[..., ::-1] * -2 for k, v in maps.items() if k.startswith("gtflow")}
  surreal_files.save(truth.video, "gtflow", maps)
  info = info_files.read_info(surreal_files.mat(truth.video, "info"))
  with pytest.raises(InputError, match=r"_gtflow\.mat has a flow .* px from how"):
    footage_files.read(truth.video, info, 0, LENGTH)
