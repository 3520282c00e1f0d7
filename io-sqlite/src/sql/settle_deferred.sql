-- Releases the row ?1, sets its due time to ?2, and does not count the attempt.
update outbox set due_at = ?2, lease_until = 0, attempt = max(attempt - 1, 0) where id = ?1
