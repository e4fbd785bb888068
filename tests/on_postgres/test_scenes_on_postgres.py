"""The tests of `test_scenes`, on PostgreSQL."""

from test_scenes import *  # noqa: F403
