-- Counts the keys in ?2 of the app ?1 that have another version than the handler has read. ?2 is a
-- JSON array of [collection, key, version]; the version -1 stands for an absent key.
select count(*) from json_each(?2) r
where coalesce((
    select version from kv
    where app = ?1 and collection = r.value ->> 0 and key = r.value ->> 1), -1) <> r.value ->> 2
