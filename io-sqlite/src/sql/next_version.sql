update counters set value = value + 1 where name = 'version'
