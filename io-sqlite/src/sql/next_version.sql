-- Increments the version counter. `version.sql` reads it.
update counters set value = value + 1 where name = 'version'
