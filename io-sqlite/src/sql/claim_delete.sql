-- Deletes the claim ?1, which holds no more rows.
delete from claims where lease = ?1
