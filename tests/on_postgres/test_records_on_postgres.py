"""The tests of `test_records`, on PostgreSQL."""

from test_records import *  # noqa: F403

# What it takes many steps to find out has nothing to do with where records are kept.
del test_any_changes_can_be_undone_down_to_the_beginning  # noqa: F821
