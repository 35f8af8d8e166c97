"""A function over many items in threads, with few results waiting."""

from __future__ import annotations

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def map_ahead(
  function: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int = 16
) -> Iterator[_Result]:
  """Maps in threads, in order; for what waits for files, near or far.

  Unlike `Executor.map`, no more than two results a thread are made before they are asked for.

  Args:
    function: called with each item, from several threads.
    items: taken as results are.
    threads: how many calls run at once; 1 or more.

  Yields:
    The results, in the order of the items; an exception in the place of its item's.
  """
  pending: collections.deque[concurrent.futures.Future[_Result]] = collections.deque()
  with concurrent.futures.ThreadPoolExecutor(threads) as executor:
    try:
      for item in items:
        pending.append(executor.submit(function, item))
        if len(pending) >= 2 * threads:
          yield pending.popleft().result()
      while pending:
        yield pending.popleft().result()
    finally:  # After an error nobody waits for the rest.
      for future in pending:
        future.cancel()
