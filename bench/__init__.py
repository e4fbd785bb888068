"""What memagent costs, measured: `python -m bench` prints one table. It asserts nothing; the tests do that."""
