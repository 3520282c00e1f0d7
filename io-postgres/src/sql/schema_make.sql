create schema if not exists tidegate
