-- Holds a snapshot, as a forgotten session or a long report does: what is deleted from now on stays in tables and indexes.
begin isolation level repeatable read;
select count(*) from pg_class;
