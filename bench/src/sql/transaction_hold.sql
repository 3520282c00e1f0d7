-- Holds a snapshot, as a forgotten session or a long report does. Rows that are deleted from now on
-- stay in tables and indexes.
begin isolation level repeatable read;
select count(*) from pg_class;
