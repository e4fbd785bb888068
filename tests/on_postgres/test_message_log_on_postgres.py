"""The tests of `test_message_log`, on PostgreSQL."""

from test_message_log import *  # noqa: F403

# A column holds nothing but what its type says; and a plan of SQLite is read.
del test_a_row_that_is_not_ours_is_refused, test_the_cost_of_the_end_does_not_grow_with_the_log  # noqa: F821
