"""The tests of `test_core`, on PostgreSQL."""

from test_core import *  # noqa: F403

# A column holds nothing but what its type says.
del test_bytes_in_a_block_are_refused, test_a_damaged_edit_is_refused  # noqa: F821
