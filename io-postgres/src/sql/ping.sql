-- Checks that the server answers.
select 1
