"""The command line: one file per command, all of them consumers of the same events. Only here anything is printed."""
