"""The tests of `test_search`, on PostgreSQL."""

from test_search import *  # noqa: F403
