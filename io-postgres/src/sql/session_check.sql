-- Returns the facts about the server that the store relies on, and the first setting that this
-- session has lost. $1 are the names of the settings, $2 the values as the server showed them.
select
    current_setting('server_version_num')::integer as version,
    current_setting('server_version') as version_name,
    current_setting('server_encoding') as encoding,
    (
        select s.name from unnest($1::text[], $2::text[]) s (name, value)
        where current_setting(s.name, true) is distinct from s.value limit 1
    ) as lost
