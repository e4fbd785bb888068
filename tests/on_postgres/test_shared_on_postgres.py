"""The tests of `test_shared`, on PostgreSQL."""

from test_shared import *  # noqa: F403
