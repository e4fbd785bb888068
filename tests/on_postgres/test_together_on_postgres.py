"""The tests of `test_together` in which several write, on PostgreSQL."""

from test_together import (  # noqa: F401
    test_a_process_that_has_died_is_in_nobodys_way,
    test_eight_processes_talk_to_eight_agents_on_one_file,
    test_four_processes_talk_to_one_agent,
    test_who_is_deleted_in_the_middle_of_a_turn_is_told_so,
    test_who_was_taken_over_writes_nothing_any_more,
)
