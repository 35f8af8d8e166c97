"""A worker process on this machine: Beam's, with quiet logs, and deaf to Ctrl-C.

`python -m tools.records.local_worker`, started by Beam.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time

from sbae_tf import runtime


def _end_with(parent: int) -> None:
  """Ends this process when the one that started it is gone: Beam's would finish its work first."""
  while os.getppid() == parent:
    time.sleep(0.5)
  os._exit(1)


def main() -> None:
  """Runs Beam's worker until the process that started it ends it, or ends."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes to all; the one that started it acts.
  threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
  # What Beam logs goes to that one; without a handler it would also print it here.
  logging.getLogger().addHandler(logging.NullHandler())
  runtime.silence_tensorflow_logs()
  runtime.start_tensorflow()
  from apache_beam.runners.worker import sdk_worker_main

  # What is raised goes to that one too, and Beam would also print it. Native code still can.
  sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the end.
  sdk_worker_main.main([])


if __name__ == "__main__":
  main()
