-- Releases the row ?1, sets its due time to ?2, and appends the failed attempt ?3 to its history.
update outbox set
    due_at = ?2, lease_until = 0, failed = json_insert(coalesce(failed, '[]'), '$[#]', json(?3))
where id = ?1
