"""The kNN probe of a run: its number in NumPy, its photographs, and what it leaves alone."""

from __future__ import annotations

import dataclasses
import pathlib
import random

import numpy as np
import pytest
import tensorflow as tf

from sbae_tf import online_probe
from sbae_tf.config import PretrainConfig, ProbeConfig
from sbae_tf.encoder import Encoder
from sbae_tf.online_probe import OnlineProbe, Photographs, choose, open_probe
from tests import probe_photographs


@pytest.fixture(scope="module", name="folders")
def _folders(tmp_path_factory) -> tuple[str, str]:
  """Where `TRAIN` and `TEST` are."""
  root = tmp_path_factory.mktemp("photographs")
  return (
    probe_photographs.write(root / "train", probe_photographs.TRAIN),
    probe_photographs.write(root / "test", probe_photographs.TEST),
  )


@pytest.fixture(scope="module", name="encoder")
def _encoder(small_config) -> Encoder:
  return _fresh(small_config)


def _fresh(config: PretrainConfig) -> Encoder:
  """An encoder of always the same weights."""
  tf.keras.utils.set_random_seed(0)
  return Encoder(config)


def _with(config: PretrainConfig, **changes) -> PretrainConfig:
  return dataclasses.replace(config, probe=ProbeConfig(**changes))


def _probe(encoder: Encoder, **settings) -> OnlineProbe:
  """Of `TRAIN` and `TEST`, decoded by nobody."""
  numbers = np.array([*probe_photographs.TRAIN, *probe_photographs.TEST])
  photographs = Photographs(
    images=np.stack([probe_photographs.image(number) for number in numbers]),
    labels=(numbers % 3).astype(np.int32),
    tested=numbers >= probe_photographs.TEST.start,
    classes=3,
  )
  settings = {"layer": "embedding", "batch_size": 16, "description": "", **settings}
  return OnlineProbe(encoder, photographs, **settings)


@pytest.mark.parametrize("layer", ["embedding", "conv2"])
def test_as_in_numpy(layer, encoder):
  probe = _probe(encoder, layer=layer)
  accuracy = probe.accuracy()
  assert accuracy == probe_photographs.top1(encoder, layer)
  assert 0.4 < accuracy < 1  # Of three classes: neither chance nor too easy to tell an error.
  assert str(probe) == f"{layer}, 40 photographs"


def test_of_files(small_config, encoder, folders):
  path, test_path = folders
  probe = open_probe(_with(small_config, path=path, test_path=test_path), encoder, batch_size=16)
  assert probe.accuracy() == probe_photographs.top1(encoder)
  assert probe.description.startswith("40 photographs by the nearest of 60: ")
  assert path in probe.description and test_path in probe.description


def test_in_16_bits(small_config):
  encoder = _fresh(dataclasses.replace(small_config, precision="mixed_bfloat16"))
  expected = probe_photographs.top1(encoder)
  assert _probe(encoder).accuracy() == pytest.approx(expected, abs=0.051)  # Two of 40.


def test_is_of_the_encoder_as_it_is_and_leaves_it_so(small_config):
  encoder = _fresh(small_config)
  probe = _probe(encoder, batch_size=32)
  before = probe.accuracy()
  for variable in encoder.trainable_variables:
    if variable.shape.rank == 4:
      variable.assign(tf.abs(variable))  # It tells them apart far worse then.
  weights = [variable.numpy() for variable in encoder.variables]
  state, numpy_state = random.getstate(), np.random.get_state()[1]
  assert probe.accuracy() == probe_photographs.top1(encoder) < before - 0.1
  assert random.getstate() == state
  np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
  for variable, weight in zip(encoder.variables, weights):
    np.testing.assert_array_equal(variable, weight)


@pytest.mark.parametrize(
  ("limit", "tests_apart", "sizes"),
  [(2048, False, (48, 12)), (31, False, (25, 6)), (2048, True, (60, 40)), (10, True, (8, 2))],
)
def test_a_fifth_is_classified_and_the_limit_holds(limit, tests_apart, sizes, folders):
  probe = ProbeConfig(path=folders[0], test_path=folders[1] if tests_apart else "", limit=limit)
  data, tested = choose(probe)
  assert (np.count_nonzero(~tested), np.count_nonzero(tested)) == sizes
  for part in (tested, ~tested):  # Of each class its share.
    counts = np.bincount(data.labels[part], minlength=3)
    assert counts.max() - counts.min() <= 1
  names = list(data.source.names)
  assert len(set(names)) == len(names)
  if tests_apart:
    assert [folders[1] in name for name in names] == tested.tolist()
  again, tested_again = choose(probe)
  assert list(again.source.names) == names and tested_again.tolist() == tested.tolist()


def test_none(small_config, encoder):
  assert open_probe(small_config, encoder, batch_size=16) is None


def test_can_be_ended_between_two_batches(encoder):
  probe = _probe(encoder)
  seen = []

  def watched(batches):
    for batch in batches:
      if len(seen) == 2:
        raise KeyboardInterrupt
      seen.append(len(batch))
      yield batch

  with pytest.raises(KeyboardInterrupt):
    probe.accuracy(watched=watched)
  assert seen == [16, 16]


def _folder(root: pathlib.Path, *names: str) -> str:
  for name in names:
    probe_photographs.write(root / "all", range(1))
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes((root / "all" / "0" / "0000.png").read_bytes())
  return str(root / pathlib.Path(names[0]).parts[0])


@pytest.mark.parametrize(
  ("names", "message"),
  [
    (["flat/a.png", "flat/b.png"], "--probe.path=.*flat: Expected photographs of two classes"),
    (["one/a/a.png", "one/a/b.png"], "--probe.path=.*one: Expected photographs of two classes"),
    (["few/a/a.png", "few/b/b.png"], "Expected two photographs or more of a class in --probe.path"),
  ],
)
def test_photographs_that_do_not_do(names, message, small_config, encoder, tmp_path):
  path = _folder(tmp_path, *names)
  with pytest.raises(ValueError, match=f"^{message}") as error:
    open_probe(_with(small_config, path=path), encoder, batch_size=16)
  assert "\n" not in str(error.value)


def test_photographs_that_are_not_there(small_config, encoder, folders, tmp_path):
  for changes, message in (
    ({"test_path": folders[1]}, "^Expected --probe.path with --probe.test_path="),
    ({"path": str(tmp_path / "no")}, "^--probe.path=.*/no: No such folder"),
    (
      {"path": folders[0], "test_path": _folder(tmp_path, "other/0/a.png", "other/7/b.png")},
      "^--probe.path and --probe.test_path: Expected the same classes .* first: 1, 2; .*second: 7.",
    ),
  ):
    with pytest.raises(ValueError, match=message):
      open_probe(_with(small_config, **changes), encoder, batch_size=16)


def test_what_cannot_be_read(small_config, encoder, tmp_path, monkeypatch):
  path = probe_photographs.write(tmp_path / "dirty", range(30))
  (tmp_path / "dirty" / "1" / "0001.png").write_bytes(b"not a photograph")
  config = _with(small_config, path=path)
  with pytest.raises(
    ValueError, match=r"^Of the probe's photographs 1 of 30 images cannot be read.*0001.png"
  ):
    open_probe(config, encoder, batch_size=16)
  lines: list[str] = []
  monkeypatch.setattr(online_probe.logging, "warning", lambda text, *v: lines.append(text % v))
  config = dataclasses.replace(config, data=dataclasses.replace(config.data, max_skipped=0.1))
  probe = open_probe(config, encoder, batch_size=16)
  assert np.count_nonzero(choose(config.probe)[1]) == 6 and str(probe) == "embedding, 6 photographs"
  assert len(lines) == 1 and "1 of 30" in lines[0] and "0001.png (not_an_image)" in lines[0]
  probe.accuracy()
