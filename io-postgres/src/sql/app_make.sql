-- Creates an app if it does not exist.
insert into tidegate.apps (name, created_at) values ($1, clock_timestamp()) on conflict (name) do nothing
