-- Lists the applied migrations.
select version, checksum from tidegate._sqlx_migrations order by version
