"""The tests of `test_looking`, on PostgreSQL."""

from test_looking import *  # noqa: F403
