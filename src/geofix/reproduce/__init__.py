"""reproduce: the tables of the papers once more, ours beside theirs."""
