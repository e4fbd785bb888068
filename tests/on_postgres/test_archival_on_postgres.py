"""The tests of `test_archival`, on PostgreSQL."""

from test_archival import *  # noqa: F403

# That many passages are kept in the contracts of all storages too.
del test_ten_megabytes  # noqa: F821
