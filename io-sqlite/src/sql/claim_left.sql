-- Sets what the claim ?1 still holds: ?2 rows and ?3 slots.
update claims set rows_left = ?2, slots = ?3 where lease = ?1
