"""The tests of `test_keeping`, on PostgreSQL."""

from test_keeping import *  # noqa: F403

# These have nothing to do with where facts are kept.
del test_what_is_usable_is_sound  # noqa: F821
