-- Sets the resolution ?2 of the letter that the delivery ?1 handles, and the failure ?3 of its
-- handler. A resolution by a user is not changed.
update dead_letters set resolution = ?2, handler_failure = ?3
where id = (select handles_letter_id from outbox where id = ?1)
  and (resolution is null or resolution in ('handled', 'handler_failed'))
