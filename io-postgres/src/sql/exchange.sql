-- Settles finished deliveries and claims new ones: one round trip and one commit.
--
-- $1 to $6 are the settlements, $7 to $17 the claim.
select * from tidegate.exchange(
    p_settle => row($1, $2, $3, $4, $5, $6)::tidegate.settlements,
    p_claim => row($7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)::tidegate.claim_request)
