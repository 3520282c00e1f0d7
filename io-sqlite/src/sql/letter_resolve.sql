update dead_letters set resolution = ?2
where id = (select handles_letter_id from outbox where id = ?1)
