"""The tool that writes records: in this process, and as the process that a user starts."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions
from PIL import Image

from sbae_tf.data import record_manifest, sources
from tools import make_records
from tools.records import runner
from tools.records.folder import Folder
from tools.records.image import Form
from tools.records.plan import RecordsError, make_plan, open_source, shuffle
from tools.records.shard import Worker, WriteShards
from tools.records.watcher import Watcher

_ROOT = pathlib.Path(__file__).parents[2]
_HERE = "--direct_running_mode=in_memory"  # In this process: no start of others.
_COUNT = 40


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES", ""))


def _encode(number: int, file_format: str, size: tuple[int, int] = (13, 11), **options) -> bytes:
  """Noise of a seed."""
  pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
  stream = io.BytesIO()
  Image.fromarray(pixels).save(stream, file_format, **options)
  return stream.getvalue()


@pytest.fixture(name="photos")
def _photos(tmp_path) -> pathlib.Path:
  """A folder of PNG and JPEG files in two classes."""
  folder = tmp_path / "photos"
  for number in range(_COUNT):
    kind = "png" if number % 4 == 0 else "jpeg"
    file = folder / ("cat" if number % 3 else "dög") / f"{number}.{kind}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_encode(number, kind))
  return folder


def _run(data: object, out: pathlib.Path, *flags: str) -> int:
  return make_records.main([f"--data={data}", f"--out={out}", _HERE, *flags])


def _contents(folder: pathlib.Path) -> dict[str, str]:
  """The hash of every file, but those of the manifest, which has the source's path in it."""
  return {
    str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.name != record_manifest.FILE
  }


def _images(spec: object) -> dict[str, tuple[bytes, str]]:
  """Name below the root to bytes and class, of all images of a source."""
  source = sources.open_source(str(spec))
  images = {}
  for index, name in enumerate(source.names):
    label = -1 if source.labels is None else source.labels[index]
    class_name = source.class_names[label] if label >= 0 else ""
    images[name[len(source.root) :].lstrip("/")] = (source.read(index).numpy(), class_name)
  assert len(images) == len(source)
  return images


def _as_list(photos: pathlib.Path) -> pathlib.Path:
  """A list, a class in some lines only."""
  lines = [
    f"{path.relative_to(photos.parent)}" + ("\tcat" if path.parent.name == "cat" else "")
    for path in sorted(photos.rglob("*.*"))
  ]
  file = photos.parent / "list.txt"
  file.write_text("\n".join(lines), encoding="utf-8")
  return file


def _as_tar(photos: pathlib.Path) -> pathlib.Path:
  file = photos.parent / "photos.tar"
  with tarfile.open(file, "w") as archive:
    archive.add(photos, "photos")
  return file


@pytest.mark.parametrize("make", [lambda photos: photos, _as_list, _as_tar])
def test_holds_what_the_source_holds(photos, tmp_path, capsys, make):
  data, out = make(photos), tmp_path / "records"
  assert _run(data, out, "--shards=3") == 0
  expected = _images(data)
  assert _images(out) == expected and len(expected) == _COUNT
  assert {class_name for _, class_name in expected.values()} >= {"cat"}
  manifest = record_manifest.read(str(out))
  assert [shard.images for shard in manifest.shards] == [13, 13, 14]
  assert manifest.class_names == sources.open_source(str(data)).class_names
  assert manifest.settings["seed"] == 0 and manifest.settings["data"] == str(data)
  assert manifest.skipped == {} and record_manifest.verify(str(out)) == []
  names = {"manifest.json"} | {shard.file for shard in manifest.shards}
  names |= {shard.file.replace(".tfrecord", ".index.npz") for shard in manifest.shards}
  assert set(os.listdir(out)) == names
  output = capsys.readouterr()
  assert output.out.startswith(f"40 images in 3 record files, 0.0 MB: {out}\n")
  assert output.out.endswith(f"Train:  python -m sbae_tf.pretrain --data={out}\n")
  assert output.err.startswith(sources.open_source(str(data)).description + "\n")


def test_the_seed_decides_where_an_image_lies(photos, tmp_path):
  outs = [tmp_path / name for name in "abc"]
  for out, seed in zip(outs, (5, 5, 6)):
    assert _run(photos, out, "--shards=3", f"--seed={seed}") == 0
  assert _contents(outs[0]) == _contents(outs[1])
  first, other = (list(sources.open_source(str(out)).names) for out in (outs[0], outs[2]))
  assert sorted(first) == sorted(other) == sorted(_images(photos))
  assert first != other and first[:13] != sorted(first[:13])
  neighbors = sum(a.split("/")[0] == b.split("/")[0] for a, b in zip(first, first[1:]))
  assert neighbors < 30  # Of 39; sorted, it were 38.


def test_the_order_stays_as_it_is():
  # A run may go on with another version of everything.
  assert shuffle(10, seed=42).tolist() == [8, 1, 5, 0, 7, 2, 9, 4, 3, 6]  # NumPy's since 1.0.


def test_finds_the_number_of_shards_by_size(tmp_path):
  photos = tmp_path / "photos"
  photos.mkdir()
  for number in range(150):
    (photos / f"{number}.png").write_bytes(_encode(number, "png"))
  source = open_source(str(photos))
  size = len(_encode(0, "png"))

  def shards(*, shard_mb: float) -> int:
    form = Form(max_pixels=1000)
    return make_plan("", source, form, shards=None, shard_mb=shard_mb, seed=0).shards

  assert shards(shard_mb=100) == 2  # Of 64 images or more.
  assert shards(shard_mb=150 * size / 1e6 / 6.5) == 7
  assert shards(shard_mb=1e-9) == 150


def _broken(photos: pathlib.Path) -> dict[str, str]:
  """Adds files that no decoder reads: name to reason."""
  whole = _encode(1, "jpeg", (64, 64))
  broken = {
    "cat/x.jpg": (b"", "empty"),
    "cat/y.jpg": (whole[: len(whole) // 2], "truncated"),
    "dög/z.png": (b"text", "not_an_image"),
    "dög/large.png": (_encode(0, "png", (200, 200)), "too_large"),
  }
  for name, (content, _) in broken.items():
    (photos / name).write_bytes(content)
  return {name: reason for name, (_, reason) in broken.items()}


def test_leaves_out_what_cannot_be_read(photos, tmp_path, capsys):
  expected = _images(photos)
  broken = _broken(photos)
  (photos / "cat" / "gone.jpg").symlink_to("nowhere")
  out = tmp_path / "records"
  assert _run(photos, out, "--shards=45", "--max_skipped=0.2", "--max_pixels=39999") == 0
  assert _images(out) == expected  # Also where a shard is left without an image.
  rows = [line.split("\t") for line in (out / "skipped.tsv").read_text().splitlines()]
  assert {name: reason for name, reason, _ in rows} == {**broken, "cat/gone.jpg": "missing"}
  assert [name for name, _, _ in rows] == sorted(name for name, _, _ in rows)
  assert all(detail for _, _, detail in rows)
  reasons = ("empty", "missing", "not_an_image", "too_large", "truncated")
  assert record_manifest.read(str(out)).skipped == dict.fromkeys(reasons, 1)
  listed = (
    f"Left out: 1 empty, 1 missing, 1 not_an_image, 1 too_large, 1 truncated; listed in {out}"
  )
  assert listed in capsys.readouterr().out


def test_too_many_left_out(photos, tmp_path, capsys):
  _broken(photos)
  out = tmp_path / "records"
  flags = ("--shards=20", "--max_pixels=39999")
  assert _run(photos, out, *flags) == 2
  message = (
    r"4 of 44 images cannot be read, more than --max_skipped=0.01 of all accepts. All are in "
    rf"{out}/skipped.tsv; the first: cat/x.jpg \(empty: No bytes\); cat/y.jpg \(.*\. Accept more"
  )
  _assert_error(capsys, message)
  assert not (out / "manifest.json").exists()
  assert len((out / "skipped.tsv").read_text().splitlines()) == 4
  before = {path: path.stat().st_ino for path in out.glob("images-*")}
  assert len(before) == 40
  assert _run(photos, out, *flags, "--max_skipped=0.1") == 0  # Another limit is no other plan.
  assert {path: path.stat().st_ino for path in out.glob("images-*")} == before
  assert len(_images(out)) == _COUNT


def test_nothing_can_be_read(tmp_path, capsys):
  photos = tmp_path / "photos"
  photos.mkdir()
  (photos / "a.jpg").write_bytes(b"text")
  assert _run(photos, tmp_path / "records", "--max_skipped=1") == 2
  _assert_error(capsys, r"None of 1 images tried can be read. The first: a.jpg \(not_an_image: Of")


def _assert_error(capsys, message: str) -> None:
  """One line, but for the source's description."""
  lines = capsys.readouterr().err.splitlines()
  assert re.match(f"make_records: {message}", lines[-1]), lines
  assert len(lines) <= 2


def test_stops_early_where_too_many_are_left_out(photos, tmp_path):
  _broken(photos)
  source = open_source(str(photos))
  plan = make_plan(str(photos), source, Form(max_pixels=10**6), shards=44, shard_mb=1, seed=0)
  folder = Folder(str(tmp_path / "records"))
  folder.begin(plan, source.labels)
  worker = Worker(folder.path)
  with Watcher(folder, plan, max_skipped=0.01, shown=False, seconds=0.01):
    for number in range(44):
      if not worker.write(number):
        break
      time.sleep(0.05)
  assert 0 < number < 43 and folder.is_stopping()
  folder.begin(plan, source.labels)
  assert not folder.is_stopping() and worker.write(number)


def test_says_how_far_it_is(photos, tmp_path, capsys):
  source = open_source(str(photos))
  plan = make_plan(str(photos), source, Form(max_pixels=10**6), shards=4, shard_mb=1, seed=0)
  folder = Folder(str(tmp_path / "records"))
  folder.begin(plan, source.labels)
  worker = Worker(folder.path)
  worker.write(3)
  with Watcher(folder, plan, max_skipped=0.01, shown=True, seconds=0.01):
    worker.write(1)
    time.sleep(0.1)
  first, *_, last = capsys.readouterr().err.splitlines()
  assert first[9:] == "10 of 40 images are there already."
  assert re.fullmatch(r"20 of 40 images  \d+ images/s  0:00:0\d left", last[9:])


def test_does_nothing_where_all_is_there(photos, tmp_path, capsys, monkeypatch):
  out = tmp_path / "records"
  assert _run(photos, out, "--shards=3") == 0
  before = capsys.readouterr().out
  monkeypatch.setattr(runner, "run", None)
  (out / "unfinished").mkdir()  # It was killed after the manifest, before it was done.
  assert _run(photos, out, "--shards=3") == 0
  assert capsys.readouterr().out == before
  assert not (out / "unfinished").exists()


@pytest.mark.parametrize("finished", [True, False])
def test_refuses_a_folder_of_other_records(photos, tmp_path, capsys, finished):
  out = tmp_path / "records"
  _broken(photos)
  accept = "--max_skipped=1" if finished else "--max_skipped=0"
  assert _run(photos, out, "--shards=3", accept) == (0 if finished else 2)
  before = _contents(out)
  capsys.readouterr()
  for flags, message in {
    ("--shards=4",): "shards is 3 there and 4 here",
    ("--shards=3", "--seed=1"): "seed is 0 there and 1 here",
    ("--shards=3", "--shorter_side=9"): "shorter_side is None there and 9 here, quality is None "
    "there and 95 here",
  }.items():
    assert _run(photos, out, *flags) == 2
    _assert_error(capsys, f"--out={out} holds records that were made otherwise: {message}. Give")
  (photos / "cat" / "1.jpeg").rename(photos / "dög" / "0.jpeg")
  assert _run(photos, out, "--shards=3") == 2
  message = "its images' names differ, its images' classes differ. Give"
  _assert_error(capsys, f"--out={out} holds records that were made otherwise: {message}")
  assert _contents(out) == before


def test_refuses_a_folder_of_other_things(photos, capsys):
  assert _run(photos, photos) == 2
  _assert_error(capsys, "Expected a new or an empty folder, or one of unfinished records. --out=")
  assert _run(photos, photos / "cat" / "1.jpeg") == 2
  _assert_error(capsys, "Cannot write to --out=")


def test_nobody_takes_unfinished_records_for_all(photos, tmp_path):
  out = tmp_path / "records"
  _broken(photos)
  assert _run(photos, out, "--shards=3", "--max_skipped=0") == 2
  with pytest.raises(ValueError, match="No images in"):
    sources.open_source(str(out))


def test_reduces_to_upright_jpegs(tmp_path):
  photos = tmp_path / "photos"
  photos.mkdir()
  # As stored: red above blue, 60 x 90 pixels; to be turned by 90 degrees clockwise.
  pixels = np.zeros((60, 90, 3), np.uint8)
  pixels[:30, :, 0] = pixels[30:, :, 2] = 255
  exif = Image.Exif()
  exif[0x0112] = 6
  Image.fromarray(pixels).save(photos / "turned.jpg", exif=exif, quality=95)
  (photos / "small.png").write_bytes(_encode(1, "png", (10, 30)))
  out = tmp_path / "records"
  assert _run(photos, out, "--shards=1", "--shorter_side=20", "--quality=90") == 0
  images = {name: Image.open(io.BytesIO(data)) for name, (data, _) in _images(out).items()}
  turned, small = images["turned.jpg"], images["small.png"]
  assert turned.format == small.format == "JPEG"
  assert turned.size == (20, 30) and small.size == (30, 10)  # Width and height; not enlarged.
  assert turned.getexif().get(0x0112, 1) == 1
  colors = np.asarray(turned, np.float32)
  np.testing.assert_allclose(colors[:, :8].mean((0, 1)), (0, 0, 255), atol=12)
  np.testing.assert_allclose(colors[:, -8:].mean((0, 1)), (255, 0, 0), atol=12)
  assert turned.layer[1][1:3] == turned.layer[0][1:3]  # Color at full resolution.
  settings = record_manifest.read(str(out)).settings
  assert settings["shorter_side"] == 20 and settings["quality"] == 90


@pytest.fixture(name="stuck")
def _stuck(photos, tmp_path):
  """Two processes that write ten shards; one of them waits for an image without end."""
  source = open_source(str(photos))
  plan = make_plan(str(photos), source, Form(max_pixels=10**6), shards=10, shard_mb=1, seed=0)
  image = pathlib.Path(source.names[plan.order()[plan.span(5)][2]])
  image.unlink()
  os.mkfifo(image)
  process = subprocess.Popen(
    [sys.executable, "-m", "tools.make_records", f"--data={photos}", f"--out={tmp_path}/records"]
    + ["--shards=10", "--direct_num_workers=2"],
    cwd=_ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    start_new_session=True,
  )
  try:
    out, end = tmp_path / "records", time.monotonic() + 120
    while not (list(out.glob(".images-00005-*")) and len(list(out.glob("unfinished/0*.json"))) > 1):
      assert process.poll() is None and time.monotonic() < end
      time.sleep(0.02)
    yield process
  finally:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(ValueError):  # Read to the end and closed already.
      process.communicate()


def _assert_goes_on(photos: pathlib.Path, out: pathlib.Path) -> None:
  """The same command makes the same bytes as one that was never stopped, and keeps what is done."""
  assert not (out / "manifest.json").exists() and list(out.glob(".images-*.part"))
  [image] = (path for path in photos.rglob("*.*") if path.is_fifo())
  image.unlink()
  image.write_bytes(_encode(int(image.stem), image.suffix[1:]))
  done = [out / f"images-{path.stem}-of-00010.tfrecord" for path in out.glob("unfinished/0*.json")]
  assert 2 <= len(done) < 10
  damaged, *kept = done
  damaged.write_bytes(damaged.read_bytes()[:-1])
  before = {path: path.stat().st_ino for path in kept}
  assert _run(photos, out, "--shards=10") == 0
  assert {path: path.stat().st_ino for path in kept} == before
  reference = out.parent / "reference"
  assert _run(photos, reference, "--shards=10") == 0
  assert _contents(out) == _contents(reference) and len(_images(out)) == _COUNT
  assert record_manifest.read(str(out)) == record_manifest.read(str(reference))


@pytest.mark.slow
def test_goes_on_where_it_was_killed(photos, tmp_path, stuck):
  stuck.kill()
  stuck.communicate(timeout=20)  # Its workers have ended then: each holds an end of the pipes.
  _assert_goes_on(photos, tmp_path / "records")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_goes_on_where_it_was_interrupted(photos, tmp_path, stuck, number):
  os.killpg(stuck.pid, number)  # To all of its processes, as a terminal does.
  _, errors = stuck.communicate(timeout=20)
  assert stuck.returncode == 128 + number
  assert errors.endswith("\nmake_records: Interrupted. The same command goes on.\n")
  assert "Traceback" not in errors
  _assert_goes_on(photos, tmp_path / "records")


@pytest.mark.slow
def test_ends_when_a_worker_is_killed(photos, tmp_path, stuck):
  children = pathlib.Path(f"/proc/{stuck.pid}/task")
  if not children.is_dir():
    pytest.skip("needs /proc")
  pids = [pid for path in children.glob("*/children") for pid in path.read_text().split()]
  assert len(pids) == 2
  os.kill(int(pids[0]), signal.SIGKILL)
  _, errors = stuck.communicate(timeout=20)
  assert stuck.returncode == 2 and "Traceback" not in errors
  assert "\nmake_records: A worker ended: Worker subprocess exited with return code -9." in errors
  _assert_goes_on(photos, tmp_path / "records")


def test_a_worker_refuses_a_source_that_has_changed(photos, tmp_path):
  source = open_source(str(photos))
  plan = make_plan(str(photos), source, Form(max_pixels=10**6), shards=4, shard_mb=1, seed=0)
  folder = Folder(str(tmp_path / "records"))
  folder.begin(plan, source.labels)
  (photos / "cat" / "new.jpg").write_bytes(b"")
  with pytest.raises(RecordsError, match="it had 40 images and has 41, or others"):
    Worker(folder.path)


@pytest.mark.slow
def test_says_in_a_line_why_a_process_failed(photos, tmp_path):
  out = tmp_path / "records"
  process = subprocess.run(
    # A file may have few kilobytes, as if the disk were full.
    ["sh", "-c", f'ulimit -f 4; exec {sys.executable} -m tools.make_records "$@"', "sh"]
    + [f"--data={photos}", f"--out={out}", "--shards=1", "--direct_num_workers=1"],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert process.returncode == 2
  description, *progress, message = process.stderr.splitlines()
  assert re.match("make_records: A worker failed: .*File too large.* The same command", message)
  assert description.startswith("40 images") and all("of 40 images" in line for line in progress)
  assert not list(out.glob("images*"))


def test_says_in_a_line_why_a_worker_failed(photos, tmp_path, capsys, monkeypatch):
  def fail(self, number):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(Worker, "write", fail)
  assert _run(photos, tmp_path / "records", "--shards=2") == 2
  _assert_error(capsys, "A worker failed: .*No space left on device.*The same command goes on.")


def test_mistakes_are_said_in_a_line(photos, tmp_path, capsys):
  for flags, message in {
    ("--shards=0",): "Expected --shards above 0. Received: 0",
    ("--shards=41",): "Expected --shards of 40 images at most. Received: 41",
    ("--shards=x",): "Argument --shards: invalid int value: 'x'. See --help",
    ("--shard_mb=nan",): "Expected --shard_mb above 0. Received: nan",
    ("--quality=90",): "Expected --shorter_side with --quality: without it the bytes stay.",
    ("--shorter_side=9", "--quality=101"): "Expected --quality from 1 to 100. Received: 101",
    ("--seed=-1",): "Expected --seed from 0 to 4294967295. Received: -1",
    ("--max_skipped=2",): r"Expected --max_skipped from 0 to 1. Received: 2\.0",
    ("--shard=1",): "Neither flags of this tool nor of Apache Beam: --shard=1. See --help",
    ("more",): "Neither flags of this tool nor of Apache Beam: more. See --help",
    ("--direct_num_workers=x",): "Argument --direct_num_workers: invalid int value: 'x'. See",
    ("--data=/nowhere",): "No such folder: /nowhere.",
    (f"--data=2:{photos}; 1:{photos}/cat",): "Expected --data without weights: records hold every",
  }.items():
    assert _run(photos, tmp_path / "records", *flags) == 2
    _assert_error(capsys, message)
  assert make_records.main([]) == 2
  _assert_error(capsys, "The following arguments are required: --data, --out. See --help")
  assert not (tmp_path / "records").exists()


def test_beams_options_reach_beam():
  def parse(*flags: str) -> tuple[str | None, int, str]:
    options = runner.parse_options(flags)
    direct = options.view_as(DirectOptions)
    name = options.view_as(StandardOptions).runner
    return name, direct.direct_num_workers, direct.direct_running_mode

  cores = len(os.sched_getaffinity(0))
  assert parse() == (None, cores, "multi_processing")
  given = parse("--runner=DirectRunner", "--direct_num_workers", "3")
  assert given == ("DirectRunner", 3, "multi_processing")
  assert parse("--direct_running_mode=multi_threading")[2] == "multi_threading"
  flink = runner.parse_options(["--runner=FlinkRunner", "--flink_master=host:1"])
  assert flink.get_all_options()["flink_master"] == "host:1" and not runner.is_direct(flink)


def test_remote_workers_need_not_have_the_tool():
  pickled = pickler.dumps(WriteShards("gs://bucket/records"))
  code = (
    "import sys; sys.modules['tools'] = None\n"
    "from apache_beam.internal import pickler\n"
    f"made = pickler.loads({pickled!r})\n"
    "made.setup()\n"
  )
  process = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, cwd=_ROOT, check=False
  )
  # It gets to where it reads the plan, and there is no such bucket.
  assert "in setup" in process.stderr and "self._folder.plan()" in process.stderr, process.stderr


def test_says_how_to_install_beam(tmp_path):
  code = (
    "import sys\n"
    "class Without:\n"
    "  def find_spec(self, name, *rest):\n"
    "    if name.startswith('apache_beam'):\n"
    "      raise ModuleNotFoundError(name=name)\n"
    "sys.meta_path.insert(0, Without())\n"
    "from tools import make_records\n"
    f"sys.exit(make_records.main(['--data=x', '--out={tmp_path}/out']))"
  )
  process = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, cwd=_ROOT, check=False
  )
  assert process.returncode == 2 and process.stderr == (
    "make_records: Apache Beam is missing. Install it: pip install '.[beam]'\n"
  )


def test_help_shows_the_commands(capsys):
  with pytest.raises(SystemExit) as ended:
    make_records.main(["--help"])
  assert ended.value.code == 0
  output = capsys.readouterr().out
  assert "\n  python -m tools.make_records --data=FOLDER --out=RECORDS\n" in output
  assert "--runner=DataflowRunner" in output and max(map(len, output.splitlines())) <= 100
