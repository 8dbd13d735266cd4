"""Packs a trained run into one small file of weights.

python -m mhmr_jax.inference.pack_weights --workdir=RUN --out=FILE.safetensors
"""

from mhmr_jax.files import atomic
from mhmr_jax.inference import packed, trained
from mhmr_jax.runtime import program


def main(argv: list[str]) -> None:
  """Reads the flags and packs."""
  del argv
  out = program.path_of(program.OUT)
  atomic.check_free(out)
  run = trained.restore(program.workdir())
  packed.write(run, out)
  print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, step {run.step}")


if __name__ == "__main__":
  program.run(main, usual=("workdir", "out"))
