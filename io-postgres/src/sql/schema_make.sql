-- Creates the schema if it does not exist.
create schema if not exists tidegate
