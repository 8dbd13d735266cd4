import numpy as np
import pytest

from mhmr_jax.evaluation import intervals, means, protocols


def _errors(values):
  return [{"pa_mpjpe_mm": np.asarray(v, np.float32)} for v in values]


def test_intervals_cover_the_mean_about_as_often_as_they_say():
  rng = np.random.default_rng(0)
  for protocol in (protocols.SPIN, protocols.HMMR):
    hits = 0
    for _ in range(150):
      lengths = rng.integers(20, 80, 24)
      levels = 80 + 15 * rng.normal(size=24)
      errors = _errors(
        level + 10 * rng.normal(size=length)
        for level, length in zip(levels, lengths, strict=True)
      )
      names = [str(i) for i in range(24)]
      low, high = intervals.bootstrap(errors, names, protocol)["pa_mpjpe_mm"]
      hits += low < 80 < high
    # 95 % is what is asked for; percentile intervals of 24 draws reach some 92 %.
    assert 0.86 < hits / 150 < 0.99


def test_intervals_draw_whole_sequences_and_always_the_same():
  rng = np.random.default_rng(1)
  alike = [np.full(1000, level) for level in rng.normal(80, 10, 12)]
  names = [str(i) for i in range(12)]
  low, high = intervals.bootstrap(_errors(alike), names, protocols.SPIN)["pa_mpjpe_mm"]
  # Were frames drawn, 12,000 of them would leave next to nothing.
  assert high - low > 4
  again = intervals.bootstrap(_errors(alike), names, protocols.SPIN)["pa_mpjpe_mm"]
  assert again == [low, high]
  # Two people of one sequence are drawn together: half as many, so wider.
  paired = [str(i // 2) for i in range(12)]
  ordered = sorted(alike, key=lambda values: values[0])
  wide = intervals.bootstrap(_errors(ordered), paired, protocols.SPIN)["pa_mpjpe_mm"]
  assert wide[1] - wide[0] > 1.2 * (high - low)


def test_one_sequence_has_no_interval_and_none_no_mean():
  errors = _errors([[80.0, 90.0], []])
  found = intervals.bootstrap(errors, ["a", "b"], protocols.SPIN)
  assert found["pa_mpjpe_mm"] is None
  figures = means.overall(errors, ["a", "b"], protocols.HMMR)
  assert figures["pa_mpjpe_mm"] == 85
  assert figures["pve_mm"] is None


@pytest.mark.parametrize(("protocol", "expected"), [("spin", 70.0), ("hmmr", 72.5)])
def test_means_are_of_frames_or_of_sequences(protocol, expected):
  errors = _errors([[60.0], [60.0, 60.0], [90.0, 85.0, 65.0]])
  errors[2]["pa_mpjpe_mm"][:] = [80, 80, 80]
  names = ["a", "a", "b"] if protocol == "spin" else ["a", "b", "c"]
  found = means.overall(errors, names, protocols.get(protocol))["pa_mpjpe_mm"]
  by_hand = {"spin": (3 * 60 + 3 * 80) / 6, "hmmr": (60 + 60 + 80) / 3}[protocol]
  assert found == pytest.approx(by_hand)


def _seeds(values: np.ndarray) -> intervals.SeedErrors:
  """Methods' errors [seeds, sequences] of sequences with 16 frames each."""
  return intervals.SeedErrors(16 * values, np.full(values.shape[1], 16.0))


def test_intervals_over_seeds_cover_the_mean_and_widen_with_their_spread():
  rng = np.random.default_rng(2)
  hits, widths = 0, []
  for _ in range(150):
    level = 80 + rng.normal(0, 4, (8, 1)) + 10 * rng.normal(size=(1, 40))
    mean, low, high = intervals.over_seeds(_seeds(level))
    assert mean == pytest.approx(level.mean())
    hits += low < 80 < high
    widths.append(high - low)
  assert 0.84 < hits / 150 < 0.99
  # One seed's interval is that of the sequences, and tells nothing of other seeds.
  alone = intervals.over_seeds(_seeds(level[:1]))
  assert alone.high - alone.low < np.mean(widths)
  frames = [{"pa_mpjpe_mm": np.full(16, value)} for value in level[0]]
  names = [str(i) for i in range(40)]
  expected = intervals.bootstrap(frames, names, protocols.SPIN)["pa_mpjpe_mm"]
  # The same draws; the order of the names' digits is another order of the sequences.
  np.testing.assert_allclose(alone[1:], expected, atol=0.8)


def test_longer_sequences_count_more():
  sums = np.array([[10 * 50.0, 30 * 90.0]])
  errors = intervals.SeedErrors(sums, np.array([10.0, 30.0]))
  assert intervals.over_seeds(errors).mean == pytest.approx(80)


def test_differences_are_paired_by_sequence():
  rng = np.random.default_rng(3)
  hard = 20 * rng.normal(size=(1, 60))
  first = _seeds(90 + hard + rng.normal(size=(3, 60)))
  second = _seeds(88 + hard + rng.normal(size=(3, 60)))
  found = intervals.difference(first, second)
  assert found.mean == pytest.approx(2, abs=0.4)
  assert 1 < found.low < found.high < 3
  # Each by itself is known to some 5 mm alone.
  alone = intervals.over_seeds(first)
  assert alone.high - alone.low > 6
  swapped = intervals.difference(second, first)
  assert swapped.mean == pytest.approx(-found.mean)
  same = intervals.difference(first, first)
  assert same.mean == 0
  assert same.low < 0 < same.high


def test_other_sequences_have_no_difference_and_one_has_no_interval():
  many, few = _seeds(np.ones((1, 5))), _seeds(np.ones((1, 4)))
  with pytest.raises(ValueError, match="other sequences"):
    intervals.difference(many, few)
  with pytest.raises(ValueError, match="one sequence"):
    intervals.over_seeds(_seeds(np.ones((3, 1))))
