-- What a SARIF report found, to tell what is new in a later one: records of 17 bytes, a fingerprint and how bad it is
-- (server::reports::findings). Null in other reports, and in those that were stored before.
alter table reports add column findings bytea;
