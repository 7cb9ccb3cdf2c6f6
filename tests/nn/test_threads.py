"""Sharing cores between threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from threadpoolctl import threadpool_info

from headgen.nn.threads import cores, shared_cores


def threads_of_a_new_thread():
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_threads_inside_take_their_share_and_everything_is_as_before_afterwards():
    before, before_cv, fresh = torch.get_num_threads(), cv2.getNumThreads(), threads_of_a_new_thread()
    with shared_cores(2 * cores()):
        assert threads_of_a_new_thread() == 1
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (before, before_cv)
    assert threads_of_a_new_thread() == fresh


def blas_threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_numpy_products_take_one_thread_inside():
    before = blas_threads()
    assert before  # numpy's wheels bring OpenBLAS
    with shared_cores(2):
        assert blas_threads() == {1}
    assert blas_threads() == before


def test_one_alone_keeps_all_cores():
    before = torch.get_num_threads()
    with shared_cores(1):
        assert torch.get_num_threads() == before == threads_of_a_new_thread()
