"""The tests of `test_together`, on PostgreSQL."""

from test_together import *  # noqa: F403
