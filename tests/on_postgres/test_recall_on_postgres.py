"""The tests of `test_recall`, on PostgreSQL."""

from test_recall import *  # noqa: F403
