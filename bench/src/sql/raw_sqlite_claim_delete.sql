delete from claims
