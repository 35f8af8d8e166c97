"""The protocol `pictures`: what it draws, of what, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sbae_tf import plugins
from sbae_tf.data.sources import open_source
from sbae_tf.encoder import Encoder
from sbae_tf.evaluation import pictures
from sbae_tf.evaluation.feature_cache import FeatureCache
from sbae_tf.evaluation.labelled import Labelled
from sbae_tf.evaluation.protocol import Context
from sbae_tf.evaluation.subject import of_encoder, of_saved_model
from tests import mean_color

pytest.importorskip("matplotlib")


def _context(subject, folder, tmp_path) -> Context:
  data = Labelled(open_source(str(folder), labels=True))
  report = tmp_path / "report"
  report.mkdir()
  cache = FeatureCache(subject, tmp_path / "cache", say=lambda line: None)
  return Context(subject, data, data, cache, report, seed=0, say=lambda line: None)


def _check_figures(section, context) -> None:
  files = [figure.file for figure in section.figures]
  assert sorted(files) == sorted(path.name for path in context.folder.iterdir())
  for figure in section.figures:
    assert figure.title and figure.caption.endswith(".")
    image = Image.open(context.folder / figure.file)
    assert image.format == "PNG" and np.asarray(image.convert("RGB")).std() > 5


@pytest.fixture(name="encoder_context")
def _encoder_context(small_config, tmp_path) -> Context:
  rng = np.random.default_rng(0)
  for number in range(12):
    file = tmp_path / "photos" / str(number % 2) / f"{number:02d}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(file)
  return _context(of_encoder(Encoder(small_config)), tmp_path / "photos", tmp_path)


def test_an_encoder_has_filters_a_map_and_patches(encoder_context) -> None:
  section = pictures.build(units=3, patches=4, points=10).run(encoder_context)
  _check_figures(section, encoder_context)
  units = section.values.pop("units")
  assert len(units) == 3 and units == sorted(set(units)) and max(units) < 32
  # What a unit of conv3 sees, 17 pixels, reaches the border of 32 pixels.
  assert section.values == {
    "filters": "pictures_filters.png",
    "map": "pictures_map.png",
    "projection": "tsne",
    "map_layer": "embedding",
    "points": 10,
    "patches": "pictures_patches.png",
    "layer": "conv2",
    "patch_size": 9,
  }
  assert "conv2" in section.summary and "10 photographs" in section.summary


@pytest.mark.slow
def test_a_foreign_model_has_what_there_is(tmp_path) -> None:
  photos = mean_color.write_photographs(tmp_path / "photos", 8)
  subject = of_saved_model(mean_color.save(tmp_path / "model"), image_size=8)
  context = _context(subject, photos, tmp_path)
  section = pictures.build(layer="blocks/4", patch_size=4, patches=2).run(context)
  _check_figures(section, context)
  assert section.summary.startswith("no filters")
  assert "filters" not in section.values and len(section.figures) == 2
  # Red and blue: green is the same in all.
  assert (section.values["units"], section.values["patch_size"]) == ([0, 2], 4)


def test_a_wrong_layer_or_size_is_refused_before_any_work(encoder_context) -> None:
  with pytest.raises(ValueError, match="`layer` one of .*conv5.*Received: 'conv9'"):
    pictures.build(layer="conv9").run(encoder_context)
  with pytest.raises(ValueError, match="`patch_size` of at most 32, .*Received: 33"):
    pictures.build(patch_size=33).run(encoder_context)
  assert not list(encoder_context.folder.iterdir())


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"units": 0}, "`units` of 1 or more. Received: 0"),
    ({"patches": 0}, "`patches` of 1 or more"),
    ({"patch_size": 0}, "`patch_size` of 1 or more"),
    ({"points": 3}, "`points` of 4 or more"),
    ({"projection": "pca"}, "one of tsne, umap"),
  ],
)
def test_wrong_options_are_refused(options, message) -> None:
  with pytest.raises(ValueError, match=message):
    pictures.build(**options)


def test_it_is_found_by_name_with_its_options() -> None:
  plugin = plugins.find("protocol", "pictures")
  assert plugin.summary.startswith("Pictures")
  assert isinstance(plugin.build(layer=None, projection="tsne"), pictures.Pictures)
