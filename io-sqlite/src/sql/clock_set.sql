-- Keeps the store's clock in the file: ?1 is the time. On Postgres the server has the clock.
update clock set now = ?1
