-- Creates the table of applied migrations. It is the same table that sqlx creates on Postgres.
create table if not exists _sqlx_migrations (
    version        bigint primary key,
    description    text not null,
    installed_on   timestamp not null default current_timestamp,
    success        boolean not null,
    checksum       blob not null,
    execution_time bigint not null
)
