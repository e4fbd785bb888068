"""The tests of `test_archival`, on PostgreSQL."""

from test_archival import *  # noqa: F403
