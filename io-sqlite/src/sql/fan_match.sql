-- The enabled, living triggers of the app ?1 with the source ?2 that an event of the type ?3 matches, or the one trigger ?6.
--
-- Patterns become GLOBs by escaping what GLOB knows beyond '*'; '[' first, because the escapes themselves are made of it.
-- GLOB's reader of UTF-8 takes U+FFFE and U+FFFF for U+FFFD. On both sides they become control characters, which are in
-- no name and in no pattern, so that the three stay apart: here in the patterns, in ?4 and ?5 before they are bound.
select t.id from triggers t
where t.app = ?1 and t.source = ?2 and t.enabled and t.deleted_at is null
  and case
        when ?6 is not null then t.id = ?6
        when t.source <> 'kv' and t.source <> 'app' and t.source <> 'dead_letter' then 0
        when t.source = 'kv' and not case ?3 when 'kv.set' then t.on_set when 'kv.delete' then t.on_delete else 0 end then 0
        else
            (t.first_pattern = '*' or ?4 glob replace(replace(replace(replace(
                t.first_pattern, '[', '[[]'), '?', '[?]'), char(0xfffe), char(1)), char(0xffff), char(2)))
            and (t.source = 'dead_letter' or t.second_pattern = '*' or ?5 glob replace(replace(replace(replace(
                t.second_pattern, '[', '[[]'), '?', '[?]'), char(0xfffe), char(1)), char(0xffff), char(2)))
      end
order by t.id
