-- What a person decided about the letter in the meantime stands.
update dead_letters set resolution = ?2, handler_failure = ?3
where id = (select handles_letter_id from outbox where id = ?1)
  and (resolution is null or resolution in ('handled', 'handler_failed'))
