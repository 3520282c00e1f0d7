select value from counters where name = 'version'
