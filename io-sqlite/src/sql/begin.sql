-- Begins a transaction with the write lock. A transaction that takes the lock at its first write
-- could fail there, after its reads.
begin immediate
