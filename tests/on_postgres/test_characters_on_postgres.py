"""The tests of `test_characters`, on PostgreSQL."""

from test_characters import *  # noqa: F403
