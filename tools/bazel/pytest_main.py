"""Runs pytest for a `py_test`: the arguments are pytest's."""

import os
import sys

import pytest


def main() -> int:
  """Runs the tests named on the command line; `bazel test --test_filter` is pytest's `-k`."""
  arguments = ["-p", "no:cacheprovider", *sys.argv[1:]]
  if "XML_OUTPUT_FILE" in os.environ:
    arguments.append(f"--junitxml={os.environ['XML_OUTPUT_FILE']}")
  if "TESTBRIDGE_TEST_ONLY" in os.environ:
    arguments += ["-k", os.environ["TESTBRIDGE_TEST_ONLY"]]
  status = pytest.main(arguments)
  # A target whose every test is slow or filtered out has not failed.
  return 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else int(status)


if __name__ == "__main__":
  sys.exit(main())
