-- Lists the enabled triggers of the app ?1 with the source ?2 that match an event of the type ?3,
-- or only the trigger ?6.
--
-- ?4 and ?5 are the texts for the first and the second pattern. A pattern becomes a GLOB: the
-- characters that are special in GLOB are escaped, except '*'. '[' is escaped first, because the
-- escapes contain it. GLOB reads the noncharacters U+FFFE and U+FFFF as U+FFFD. The statement
-- therefore replaces them by control characters, which no name and no pattern contains; the program
-- does the same in ?4 and ?5.
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
