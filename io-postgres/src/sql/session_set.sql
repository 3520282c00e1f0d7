-- Sets settings of the session. $1 are their names, $2 their values.
--
-- A setting that this version of the server does not know is left out. Each row has the value in
-- the form that the server shows.
select s.name, set_config(s.name, s.value, false) as value
from unnest($1::text[], $2::text[]) s (name, value)
where current_setting(s.name, true) is not null or strpos(s.name, '.') > 0
