-- The same limit on SQLite: the columns that a handler needs, one index, and one transaction for
-- each settlement and claim. A claim is one row that lists the ids that it took.
create table outbox (
    id          integer primary key autoincrement,
    trigger_id  integer not null,
    due_at      integer not null,
    attempt     integer not null default 0,
    depth       integer not null default 0,
    time        integer not null,
    event_id    blob not null,
    type        text not null,
    subject     text not null,
    actor       text not null,
    data        text not null
) strict;

create index outbox_lanes on outbox (trigger_id, due_at);

create table claims (
    lease       integer primary key autoincrement,
    lease_until integer not null,
    deliveries  text not null
) strict;
