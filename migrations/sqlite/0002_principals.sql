-- Who may do what.

-- `user:NAME`, or `token:NAME` for a token that acts for itself. `admin` and `system` are built in and not here.
create table principals (
    id            text primary key not null check (id like 'user:%' or id like 'token:%'),
    admin         integer not null,
    disabled      integer not null default 0,
    password_hash text,
    created_at    integer not null
) strict, without rowid;

create table grants (
    principal text not null references principals (id) on delete cascade,
    app       text not null,
    role      text not null check (role in ('viewer', 'editor', 'owner')),
    primary key (principal, app)
) strict, without rowid;

-- Of a token only the SHA-256 of its text is kept.
create table tokens (
    name       text primary key not null,
    principal  text not null references principals (id) on delete cascade,
    digest     blob not null unique,
    created_at integer not null,
    expires_at integer
) strict, without rowid;

create index tokens_of on tokens (principal);
