-- Two deployments of one app follow one another.
select name from tidegate.apps where name = $1 for update
