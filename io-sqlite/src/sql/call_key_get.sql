-- Reads the call of the app ?1 with the idempotency key ?2, and whether its execution is still in
-- the outbox.
select k.digest, k.delivery_id, k.lease, k.reply, exists (select 1 from outbox o where o.id = k.delivery_id) as runs
from call_keys k
where k.app = ?1 and k.key = ?2
