-- Creates the app ?1, if it does not exist. ?2 is the time. The Postgres file reads the time from
-- its own clock.
insert into apps (name, created_at) values (?1, ?2) on conflict (name) do nothing
