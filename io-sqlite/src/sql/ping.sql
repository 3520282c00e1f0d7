-- Touches the file, not only the connection.
select count(*) from sqlite_schema
