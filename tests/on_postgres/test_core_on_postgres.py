"""The tests of `test_core`, on PostgreSQL."""

from test_core import *  # noqa: F403

# A column holds nothing but what its type says.
del test_bytes_in_a_block_are_refused, test_a_damaged_edit_is_refused  # noqa: F821
# These take many steps to find out what has nothing to do with where blocks are kept.
del test_history_is_whole_whatever_was_done_and_undone, test_undo_reaches_further_than_a_page_of_history  # noqa: F821
