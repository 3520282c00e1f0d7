-- How many of the keys read do not have the version that was seen; -1 stands for an absent one.
select count(*) from json_each(?2) r
where coalesce((
    select version from kv
    where app = ?1 and collection = r.value ->> 0 and key = r.value ->> 1), -1) <> r.value ->> 2
