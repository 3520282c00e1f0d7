-- The records that are removed when they are old.

-- Each index gives one kind of record in the order of age, so that a batch reads only the records
-- that it removes.
create index dead_letters_resolved on dead_letters (resolution, created_at) where resolution is not null;
create index dead_letters_open on dead_letters (created_at) where resolution is null;
create index abandoned_executions_age on abandoned_executions (at);
create index loops_age on loops (last_at);
create index tokens_expiry on tokens (expires_at) where expires_at is not null;

-- Every record that retention may remove: its kind, its key, and the time from which its age
-- counts. A statement names one kind, so that SQLite reads one part of the view.
create view old_records as
select 'open_letters' as kind, id as key, created_at as at from dead_letters where resolution is null
union all
select 'open_letters', id, created_at from dead_letters where resolution = 'handler_failed'
union all
select 'handled_letters', id, created_at from dead_letters where resolution = 'handled'
union all
select 'handled_letters', id, created_at from dead_letters where resolution = 'redriven'
union all
select 'discarded_letters', id, created_at from dead_letters where resolution = 'discarded'
union all
select 'abandoned_executions', delivery_id, at from abandoned_executions
union all
select 'loops', root_id, last_at from loops
union all
select 'sessions', name, expires_at from tokens where expires_at is not null and name glob 'session.*';
