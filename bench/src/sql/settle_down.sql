-- Before each run, of a limit and of a figure alike: statistics and visibility are up to date, and no checkpoint is due.
vacuum analyze;
checkpoint;
