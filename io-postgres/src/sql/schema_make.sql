-- Creates the schema. A schema that exists is not created, because that needs a right of the role.
create schema if not exists tidegate
