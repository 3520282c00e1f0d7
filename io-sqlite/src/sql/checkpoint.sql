-- Moves the log into the file, so that the file alone is the whole database.
pragma wal_checkpoint(truncate)
