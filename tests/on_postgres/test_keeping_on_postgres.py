"""The tests of `test_keeping`, on PostgreSQL."""

from test_keeping import *  # noqa: F403

# These have nothing to do with where facts are kept.
del test_what_is_usable_is_sound, test_a_month_is_over_when_it_is_over  # noqa: F821
