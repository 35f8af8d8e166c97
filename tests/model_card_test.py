"""The model card says what is known, and that the rest is not."""

from __future__ import annotations

import dataclasses

import pytest

from sbae_tf.config import DataConfig, PretrainConfig
from sbae_tf.model_card import Facts, Provenance, colorizer_card, encoder_card

_CONFIG = PretrainConfig(data=DataConfig(path="holidays", image_size=64))
_FACTS = Facts(
  parameters=1_234_567,
  stride=8,
  features={"conv1": (32, 32, 16), "embedding": (16,)},
  towers={"L_regression": "L", "ab": "ab"},
  chance={"L->ab": 4.6052},
  versions={"sbae_tf": "0.1.0", "tensorflow": "2.15.1"},
)
_PROVENANCE = Provenance(
  "2,000 photographs | holidays",
  "200 photographs",
  5_000,
  {"L->ab": 2.5, "ab->L": 3.25, "total": 9},
)


@pytest.mark.parametrize("card", [encoder_card, colorizer_card])
def test_says_what_is_known(card):
  text = card(_CONFIG, _PROVENANCE, _FACTS, folder="assets/")
  for told in (
    "1,234,567 parameters",
    "2,000 photographs &#124; holidays",
    "200 photographs",
    "5,000",
    "| `L->ab` | 2.5000 | 4.6052 |",
    "| `ab->L` | 3.2500 |  |",
    "tensorflow 2.15.1",
    "crops of 64 x 64",
    "multiples of 8",
    "(assets/filters.png)",
    "(assets/config.json)",
  ):
    assert told in text, told
  assert "total" not in text and "not recorded" not in text and "embedded photographs" not in text


@pytest.mark.parametrize("card", [encoder_card, colorizer_card])
def test_says_what_is_unknown(card):
  text = card(_CONFIG, Provenance(), _FACTS, folder="")
  assert text.count("not recorded") == 2 and "Nothing was recorded." in text
  assert "measure it before you rely on it" in text and "(filters.png)" in text


def test_says_that_nothing_was_trained():
  text = encoder_card(_CONFIG, dataclasses.replace(_PROVENANCE, steps=0), _FACTS, folder="")
  assert "| steps | 0: the weights are the initial ones |" in text


def test_warns_of_the_embedded_photographs():
  config = dataclasses.replace(_CONFIG, data=DataConfig())
  assert "to try things out" in encoder_card(config, _PROVENANCE, _FACTS, folder="")


def test_names_features_and_signatures():
  text = encoder_card(_CONFIG, _PROVENANCE, _FACTS, folder="")
  for told in (
    "| `conv1` | 32 x 32 x 16 |",
    "| `embedding` | 16 |",
    "`serving_default`",
    "| `L_regression` | as `serving_default` | features of one tower, which sees L alone |",
  ):
    assert told in text
  assert "resized to 64 x 64" in text


@pytest.mark.parametrize("card", [encoder_card, colorizer_card])
def test_tables_are_whole(card):
  """Every row of a table has as many cells as its head."""
  for block in card(_CONFIG, _PROVENANCE, _FACTS, folder="").split("\n\n"):
    rows = [line for line in block.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) <= 1, block
