"""The methods: their flags, and what changes them."""

from __future__ import annotations

import dataclasses

import pytest

from tools.reproduction import methods as methods_lib
from tools.reproduction.methods import Change, Method, lineup, parse_denoising


def test_names_differ_and_lengths_are_said_once(methods):
  found = []
  for field in dataclasses.fields(methods):
    value = getattr(methods, field.name)
    found += value if isinstance(value, tuple) else [value]
  names = {method.name: method for method in found}
  assert len(set(names.values())) == len(names)
  for method in names.values():
    lengths = [f for f in method.flags if f.startswith(("--epochs", "--steps"))]
    expected = {
      "alexnet_lab": ["--steps=200"],
      "rgbd_96": ["--steps=120"],
      "rgbd_96_random": ["--epochs=0"],
      methods.whole.name: [],
    }.get(method.name, ["--epochs=24"] if method.rate else [])
    assert lengths == expected, method.name


def test_further_flags_replace_those_of_the_same_name():
  method = Method("a", "A", ("--preset=a", "--epochs=24", "--batch_size=64"))
  changed = method.with_flags(["--steps=3", "--batch_size=8"])
  assert changed.flags == ("--preset=a", "--steps=3", "--batch_size=8")
  still = dataclasses.replace(method, flags=("--preset=a",), rate=0)
  assert still.with_flags(["--steps=3", "--batch_size=8"]).flags == ("--preset=a", "--batch_size=8")


def test_presets_may_say_how_long():
  found = lineup(epochs=0, denoising=[("gaussian", 0.2)])
  assert found.ours.flags == (f"--preset={found.ours.name}",)
  assert found.whole == found.ours
  assert found.alexnet.flags[-1] == "--steps=200"


def test_minutes_take_the_place_of_epochs():
  timed = Method("a", "A", ("--preset=a", "--epochs=24")).timed(0.5)
  assert (timed.name, timed.flags, timed.minutes) == ("a_0.5min", ("--preset=a",), 0.5)
  none = Method("a", "A", ("--preset=a", "--steps=24")).timed(0)
  assert (none.name, none.flags, none.minutes) == ("a_0min", ("--preset=a", "--epochs=0"), 0)


def test_changes_are_for_the_methods_that_they_fit():
  change = Change.parse("resnet18_*: --epochs=6 --batch_size=128")
  changed = lineup(epochs=24, denoising=[("gaussian", 0.2)], changes=[change])
  plain = lineup(epochs=24, denoising=[("gaussian", 0.2)])
  for ours, theirs in zip(changed.reports, plain.reports):
    assert (ours == theirs) == (not ours.name.startswith("resnet18_"))
  assert changed.reports[4].flags == ("--preset=resnet18_lab", "--epochs=6", "--batch_size=128")


@pytest.mark.parametrize("text", ["", "--epochs=3", "a:", "a: --epochs", "a: epochs=3"])
def test_what_is_no_change_is_refused(text):
  with pytest.raises(ValueError, match="--change"):
    Change.parse(text)


def test_denoising_is_read():
  assert parse_denoising("masking:0.1,gaussian:0.05") == (("masking", 0.1), ("gaussian", 0.05))
  assert len(set(parse_denoising("all"))) == 12
  names = [methods_lib.denoising_name(*each) for each in parse_denoising("all")]
  assert len(set(names)) == 12 and "denoising_salt_and_pepper_5" in names
  for wrong in ("", "masking", "masking:0", "masking:1", "masking:nan", "blur:0.1", "all,all"):
    with pytest.raises(ValueError, match="--denoising"):
      parse_denoising(wrong)
