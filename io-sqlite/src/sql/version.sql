-- Reads the version counter.
select value from counters where name = 'version'
