-- For the form in which a claim writes a lease to each row that it takes.
alter table outbox add column lease integer not null default 0;
alter table outbox add column lease_until integer not null default 0;
