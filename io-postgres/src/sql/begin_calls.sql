-- One round trip and one commit: see the function.
select * from tidegate.begin_calls($1, $2)
