"""Shards side by side: faiss, numpy and checksums let other threads run while they work."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import faiss
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return ``work`` of each item, in order, done in a thread for each core; faiss and BLAS take one in each."""
    one_each = ThreadPoolExecutor(os.cpu_count(), initializer=faiss.omp_set_num_threads, initargs=(1,))
    with threadpool_limits(1, user_api="blas"), one_each as pool:
        return list(pool.map(work, items))
