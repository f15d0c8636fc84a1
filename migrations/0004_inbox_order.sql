-- The oldest open delivery of each repository is found by a look, however many wait behind it.
create index deliveries_oldest on deliveries (repository_id, received_at, id) where state = 'received';
