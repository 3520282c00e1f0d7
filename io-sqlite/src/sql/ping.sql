-- Reads from the file, to check that the file is readable. On Postgres `select 1` is enough,
-- because it needs the server.
select count(*) from sqlite_schema
