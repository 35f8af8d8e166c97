"""The names of signatures; what the functions do is in `export_test`."""

from __future__ import annotations

import pytest

from sbae_tf import config_json
from sbae_tf.encoder import Encoder
from sbae_tf.serving import branch_signatures


@pytest.mark.parametrize(
  ("aggregation", "branches", "expected"),
  [
    # Of towers that see the same.
    ("concat", "L->a,b; a,b->L; L->a; L->b; b->L", {"L": 0, "ab": 1, "L_2": 2, "L_3": 3, "b": 4}),
    # That predict the same, too.
    (
      "concat",
      "L->a,b; L->a,b:regression; a->L; L->a,b:classification(temperature=0.5)",
      {"L_classification": 0, "L_regression": 1, "a": 2, "L_classification_2": 3},
    ),
    # Of one tower what it can be shown, once.
    ("shared", "L->a,b; a,b->L; L->a; L->a,b:regression; L,a,b->L", {"L": 0, "ab": 1, "Lab": 4}),
  ],
)
def test_named_by_what_is_seen(aggregation, branches, expected, small_config):
  fields = {"aggregation": aggregation, "branches": branches.split(";")}
  encoder = Encoder(config_json.from_json(fields, base=small_config))
  assert branch_signatures(encoder) == expected
