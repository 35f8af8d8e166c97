"""Options of protocols as flags: values, types, and whose they are."""

from __future__ import annotations

import argparse

import pytest

from sbae_tf import plugins, protocol_flags
from sbae_tf.config import Component


def _components(*arguments: str) -> list[Component]:
  protocols = protocol_flags.chosen(arguments, default="knn")
  parser = argparse.ArgumentParser(allow_abbrev=False)
  parser.add_argument("--protocol")
  parser.add_argument("--out")
  protocol_flags.add_options(parser, protocols)
  return protocol_flags.components(parser.parse_args(arguments), protocols)


def test_values_have_the_options_types():
  assert _components() == [Component("knn")]
  found = _components(
    "--protocol= few_shot,knn",
    "--out=a.b",
    *("--knn.k=3", "--knn.temperature=1", "--knn.layer", "conv3"),
    *("--few_shot.labels=1", "--few_shot.finetune=False"),
  )
  # A text stays one that reads as a number, too.
  assert found == [
    Component("few_shot", {"labels": "1", "finetune": False}),
    Component("knn", {"k": 3, "temperature": 1, "layer": "conv3"}),
  ]
  assert found[0].options["labels"] == "1" and found[0].options["finetune"] is False
  assert _components("--knn.k=None") == [Component("knn", {"k": None})]


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--protocol=knn,knn"], "of few_shot, .*, each once. Received: knn, knn"),
    (["--protocol=,"], "Received: none"),
    (["--protocol=nonesuch"], "Unknown protocol 'nonesuch'. Known: few_shot, "),
    (["--few_shot.draws=3"], "--few_shot.draws=3 is an option of few_shot, which is not run"),
    (["--knn.k=x"], r"option 'k' of protocol 'knn' to be int \| None. Received: 'x'."),
    (["--knn.k=1.5"], "Received: 1.5."),
    (["--knn.temperature=[1]"], r"to be float. Received: \[1\]."),
  ],
)
def test_mistakes(arguments, message):
  with pytest.raises(ValueError, match=message):
    _components(*arguments)


def test_help_lists_all():
  text = protocol_flags.help_text()
  for name in plugins.names("protocol"):
    assert f"\n  {name} " in text
    for key, option in plugins.find("protocol", name).options.items():
      assert f" {key}={option.default}" in text
  assert max(map(len, text.splitlines())) <= 100
