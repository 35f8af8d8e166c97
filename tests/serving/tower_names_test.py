"""The names of signatures; what the functions do is in `export_test`."""

from __future__ import annotations

from sbae_tf import config_json
from sbae_tf.encoder import Encoder
from sbae_tf.serving import tower_names


def test_towers_are_named_by_what_they_see(small_config):
  branches = ["L->a,b", "a,b->L", "L->a", "L->b", "b->L"]
  encoder = Encoder(config_json.from_json({"branches": branches}, base=small_config))
  assert tower_names(encoder) == ["L", "ab", "L_2", "L_3", "b"]
