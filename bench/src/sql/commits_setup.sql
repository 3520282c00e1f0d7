create table commits (id bigint primary key, data text not null)
