-- Takes the write lock now: a transaction that only read at first might find later that it cannot write.
begin immediate
