-- Runs before each measurement of a limit or a figure. It updates statistics and the visibility
-- map, and no checkpoint is due afterwards.
vacuum analyze;
checkpoint;
