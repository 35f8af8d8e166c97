"""Kills a pretraining run again and again, and compares what it ends with to a run left in peace.

`python -m tools.torture --kills=20 --out=tools/results/torture.md`
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import pathlib
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from tools.benchmarks import machine
from tools.benchmarks.contestant import ROOT

# Small steps, of which many fit between two kills, and a checkpoint every few of them.
_RUN = (
  "--image_size=32 --backbone.width=0.5 --batch_size=32 --data.embedded_crops=960 "
  "--data.heldout_limit=64 --panel_images=2 --log_seconds=0.2 --checkpoint_minutes=0.003"
).split()
_POLL_SECONDS = 0.005
_LIMIT_SECONDS = 600.0  # A life that takes longer hangs.

_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)  # One of them by chance.


@dataclasses.dataclass(frozen=True)
class Kill:
  """When a life ends: so many seconds after something was seen.

  Attributes:
    after: "start", "step" (a first line of metrics), "saving" (a checkpoint is being written) or
      "export" (the encoder is being written).
    seconds: after that.
    signal: which.
  """

  after: str
  seconds: float
  signal: signal.Signals


@dataclasses.dataclass(frozen=True)
class Life:
  """A process of the tortured run.

  Attributes:
    kill: what was planned; None for one that was left in peace.
    lived: seconds from its start to its end.
    took: seconds from the signal to the end.
    status: the exit status, negative for a signal that killed.
    step: the newest checkpoint's step afterwards, 0 for none.
    partial: names of what was left half written.
  """

  kill: Kill | None
  lived: float
  took: float
  status: int
  step: int
  partial: tuple[str, ...]


def plan(kills: int, *, startup: float, training: float, seed: int) -> list[Kill]:
  """Draws when to kill.

  Args:
    kills: how many.
    startup: seconds from the start of a process to its first step.
    training: seconds from there to the end, without a kill.
    seed: of the draws.

  Returns:
    A fifth of them while the process starts, one in ten while it exports, the others while it
    trains: half of these at a random moment, half while a checkpoint is being written.
  """
  draw = random.Random(seed)
  exports = kills // 10
  starts = kills // 5
  within = kills - exports - starts
  # Half of the training in the mean, for half of these kills come at a life's first checkpoint.
  moments = [Kill("start", draw.uniform(0, startup), signal.SIGKILL) for _ in range(starts)]
  moments += [
    Kill("step", draw.uniform(0, 2 * training / max(1, within)), signal.SIGKILL)
    if i % 2
    else Kill("saving", draw.uniform(0, 0.05), signal.SIGKILL)
    for i in range(within)
  ]
  draw.shuffle(moments)
  moments += [Kill("export", draw.uniform(0, 0.5), signal.SIGKILL) for _ in range(exports)]
  return [dataclasses.replace(kill, signal=draw.choice(_SIGNALS)) for kill in moments]


def seen(workdir: pathlib.Path, after: str, started: float, before: Sequence[str]) -> bool:
  """Whether a life has come to where its kill's clock starts.

  Args:
    workdir: the run's folder.
    after: as in `Kill`.
    started: when the life did, in seconds since the epoch.
    before: what was half written then already.
  """
  if after in ("saving", "export"):
    place, name = {"saving": ("checkpoints", "step"), "export": (".", "encoder")}[after]
    found = (workdir / place).glob(f".{name}[.-]*.aside")
    return any(path.relative_to(workdir).as_posix() not in before for path in found)
  if after == "step":
    metrics = workdir / "metrics.jsonl"
    # Cut back at the start, and so older until the first line of this life.
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    return bool(lines) and lines[-1].endswith("}") and json.loads(lines[-1])["time"] > started
  return True


def live(command: Sequence[str], workdir: pathlib.Path, kill: Kill | None) -> Life:
  """Runs a process until it ends or is killed.

  Args:
    command: of the run.
    workdir: its folder.
    kill: when to; None to leave it in peace.

  Raises:
    RuntimeError: the process hangs.
  """
  started, before = time.time(), partial(workdir)
  with tempfile.TemporaryFile("w+") as output:
    process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
      killed = _kill_in_time(process, workdir, kill, started, before)
      process.wait(timeout=_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
      raise RuntimeError(f"{shlex.join(command)} does not end.") from None
    finally:
      process.kill()
      process.wait()
    ended = time.time()
    expected = _statuses(kill) if killed else (0,)
    if process.returncode not in expected:
      output.seek(0)
      raise RuntimeError(
        f"Expected exit status {expected}. Received: {process.returncode}. It said:\n"
        + output.read()[-3000:]
      )
  took = ended - killed if killed else 0.0
  return Life(
    kill if killed else None,
    ended - started,
    took,
    process.returncode,
    max([0, *(int(p.name[5:]) for p in (workdir / "checkpoints").glob("step-*"))]),
    partial(workdir),
  )


def _kill_in_time(
  process: subprocess.Popen[bytes],
  workdir: pathlib.Path,
  kill: Kill | None,
  started: float,
  before: Sequence[str],
) -> float:
  """Sends the signal; returns when, or 0 where the process ended before."""
  if kill is None:
    return 0.0
  deadline = started + _LIMIT_SECONDS
  while not seen(workdir, kill.after, started, before) and process.poll() is None:
    if time.time() > deadline:
      raise RuntimeError(f"No '{kill.after}' came in {_LIMIT_SECONDS:g} s.")
    time.sleep(_POLL_SECONDS)
  time.sleep(kill.seconds)
  if process.poll() is not None:
    return 0.0
  process.send_signal(kill.signal)
  return time.time()


def _statuses(kill: Kill | None) -> tuple[int, ...]:
  """The exit statuses that may follow a kill; 0 where the run was over just before."""
  if kill is None:
    return (0,)
  if kill.signal == signal.SIGKILL:
    return (0, -signal.SIGKILL)
  if kill.after == "start":  # Python itself may not be there yet; amid its start it ends with 1.
    return (0, 128 + kill.signal, -kill.signal, 1)
  return (0, 128 + kill.signal)


def partial(workdir: pathlib.Path) -> tuple[str, ...]:
  """The names, below a run's folder, of what is half written: the hidden ones."""
  return tuple(
    sorted(p.relative_to(workdir).as_posix() for p in workdir.rglob(".*"))
    if workdir.exists()
    else ()
  )


def compare(tortured: pathlib.Path, peaceful: pathlib.Path) -> dict[str, list[str]]:
  """Compares two finished runs, to the bit.

  Args:
    tortured: the folder of one.
    peaceful: the folder of the other.

  Returns:
    What was compared, with how much of it there was, to the differences: none where all is well.
  """
  found: dict[str, list[str]] = {}
  step = max(p.name for p in (peaceful / "checkpoints").glob("step-*"))
  for title, prefix in (
    ("variables of the last checkpoint", f"checkpoints/{step}/state"),
    ("variables of the exported encoder", "encoder/variables/variables"),
  ):
    ours, theirs = (_variables(folder / prefix) for folder in (tortured, peaceful))
    found[f"{len(theirs)} {title}"] = _differences(ours, theirs)
  ours, theirs = (_heldout(folder) for folder in (tortured, peaceful))
  found[f"{len(theirs)} held-out lines of metrics.jsonl"] = _differences(ours, theirs)
  found["partial files left"] = list(partial(tortured))
  return found


def _differences(ours: dict[str, object], theirs: dict[str, object]) -> list[str]:
  if not theirs:
    return ["nothing to compare"]
  return [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]


def _variables(prefix: pathlib.Path) -> dict[str, object]:
  """A variable's name to its type, shape and bytes."""
  import tensorflow as tf  # Here, for it takes seconds.

  try:
    reader = tf.train.load_checkpoint(str(prefix))
  except (ValueError, tf.errors.OpError):
    return {}
  names = set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
  tensors = {name: reader.get_tensor(name) for name in sorted(names)}
  return {
    name: (str(t.dtype), t.shape, t.tobytes()) if hasattr(t, "tobytes") else t
    for name, t in tensors.items()
  }


def _heldout(workdir: pathlib.Path) -> dict[str, object]:
  """Held-out lines by their number and step, without the time."""
  lines = map(json.loads, (workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
  heldout = [line for line in lines if "heldout/total" in line]
  for line in heldout:
    line.pop("time")
  return {f"line {i}, step {line['step']}": line for i, line in enumerate(heldout)}


def markdown(
  lives: Sequence[Life], peaceful: Life, found: dict[str, list[str]], command: Sequence[str]
) -> str:
  """Tells the result.

  Args:
    lives: of the tortured run.
    peaceful: the other run's only one.
    found: what `compare` gave.
    command: the run's, without its folder.
  """
  kills = [life for life in lives if life.kill is not None]
  asked = [life.took for life in kills if life.kill and life.kill.signal != signal.SIGKILL]
  well = not any(found.values())
  lines = [
    f"# Resume: {len(kills)} kills",
    "",
    f"`{shlex.join(['python', '-m', 'tools.torture', *sys.argv[1:]])}`, "
    f"{datetime.date.today().isoformat()}, sbae_tf {machine.revision()}.",
    f"{machine.machine()}. {_versions()}.",
    "",
    f"The run: `{shlex.join(command)}`. In peace it took {peaceful.lived:.0f} s. Killed "
    f"{len(kills)} times and started again by the same command, it ended with "
    + ("**the same bits**:" if well else "**DIFFERENCES**:"),
    "",
    "| compared | differences |",
    "| --- | --- |",
    *(f"| {what} | {len(names)}{_first(names)} |" for what, names in found.items()),
    "",
    f"Signals that can be caught ended the process after {max(asked, default=0):.1f} s at most.",
    "",
    "| life | signal | moment | ended after, s | exit status | newest checkpoint | half written |",
    "| ---: | --- | --- | ---: | ---: | ---: | --- |",
    *(_row(i, life) for i, life in enumerate(lives, start=1)),
  ]
  return "\n".join(lines) + "\n"


def _first(names: Sequence[str]) -> str:
  return f": {', '.join(names[:5])}" if names else ""


def _row(number: int, life: Life) -> str:
  kill = life.kill
  moment = f"{kill.seconds:.2f} s after {kill.after}" if kill else "left in peace"
  name = kill.signal.name if kill else ""
  half = ", ".join(name for name in life.partial if name.endswith(".aside"))
  return (
    f"| {number} | {name} | {moment} | {life.lived:.1f} | {life.status} | {life.step} | {half} |"
  )


def _versions() -> str:
  from importlib import metadata

  return ", ".join(f"{name} {metadata.version(name)}" for name in ("tensorflow", "numpy"))


def torture(
  arguments: argparse.Namespace, rest: Sequence[str], folder: pathlib.Path
) -> tuple[str, bool]:
  """Runs both runs and compares them.

  Args:
    arguments: `kills`, `steps` and `seed`.
    rest: further flags of the run.
    folder: where the runs' folders go.

  Returns:
    The result as Markdown, and whether all is well.
  """
  run = ["python", "-m", "sbae_tf.pretrain", *_RUN, f"--steps={arguments.steps}", *rest]

  def command(workdir: pathlib.Path) -> list[str]:
    return [sys.executable, *run[1:], f"--workdir={workdir}"]

  start = time.monotonic()
  peaceful = live(command(folder / "peaceful"), folder / "peaceful", None)
  first = json.loads((folder / "peaceful" / "metrics.jsonl").read_text().splitlines()[0])
  ended = (folder / "peaceful" / "panel.png").stat().st_mtime
  training = ended - first["time"]
  startup = peaceful.lived - training
  _say(f"In peace: {peaceful.lived:.0f} s, of which {training:.0f} s from the first step on.")
  lives = []
  kills = plan(arguments.kills, startup=startup, training=training, seed=arguments.seed)
  for number, kill in enumerate(kills, start=1):
    lives.append(live(command(folder / "tortured"), folder / "tortured", kill))
    seconds = (time.monotonic() - start - peaceful.lived) / number
    left = datetime.timedelta(seconds=round((len(kills) - number) * seconds + peaceful.lived))
    _say(f"Kill {number} of {len(kills)}: {_row(number, lives[-1])}  about {left} left")
  lives.append(live(command(folder / "tortured"), folder / "tortured", None))
  found = compare(folder / "tortured", folder / "peaceful")
  done = sum(life.kill is not None for life in lives)
  if done < arguments.kills:
    found["kills that came too late: give more --steps"] = [str(arguments.kills - done)]
  return markdown(lives, peaceful, found, run), not any(found.values())


def _say(text: str) -> None:
  print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str]) -> int:
  """Runs the command line.

  Args:
    argv: what follows the program's name; flags that are not its own are the run's.

  Returns:
    0 where the runs agree, else 1.
  """
  parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
  parser.add_argument("--kills", type=int, default=20, help="default: 20")
  parser.add_argument("--steps", type=int, default=200, help="of the run; default: 200")
  parser.add_argument("--seed", type=int, default=0, help="of the moments; default: 0")
  parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tools/results/torture.md")
  arguments, rest = parser.parse_known_args(argv)
  if arguments.kills < 1 or arguments.steps < 1:
    parser.error("expected --kills and --steps of 1 or more")
  with tempfile.TemporaryDirectory() as folder:
    text, well = torture(arguments, rest, pathlib.Path(folder))
  arguments.out.parent.mkdir(parents=True, exist_ok=True)
  arguments.out.write_text(text, encoding="utf-8")
  print(text)
  return 0 if well else 1


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
