-- Releases the row ?1 until ?2 and takes its attempt back.
update outbox set due_at = ?2, lease_until = 0, attempt = max(attempt - 1, 0) where id = ?1
