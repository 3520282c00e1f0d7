-- Locks an app, so that two deployments of one app run one after the other.
select name from tidegate.apps where name = $1 for update
