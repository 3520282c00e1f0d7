update outbox set
    due_at = ?2, lease_until = 0, failed = json_insert(coalesce(failed, '[]'), '$[#]', json(?3))
where id = ?1
