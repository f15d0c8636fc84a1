-- What an outgoing message is about: those of one repository and subject are sent in order. For a deployment its
-- environment, because a deployment that succeeds makes the environment's earlier ones inactive at the forge; for
-- a run its commit and pipeline, because the forge shows one status for the two.
alter table outbox add column subject text not null generated always as (
    kind || ' ' || coalesce(payload->>'environment', (payload->>'sha') || ' ' || (payload->>'pipeline'), '')
) stored;
-- The run or deployment itself: a later message about it makes an earlier one needless.
alter table outbox add column thing text not null generated always as (
    coalesce(payload->>'deployment', payload->>'run', '')
) stored;
create index on outbox (repository_id, subject, id) where state = 'waiting';

-- What the forge calls the things it was told of: needed to tell it more about the same.
create table forge_objects (
    repository_id uuid not null references repositories on delete cascade,
    kind          text not null check (kind in ('check_run', 'deployment')),
    thing         text not null,               -- the run's or deployment's id here
    remote_id     bigint not null,             -- and there
    closed        boolean not null,            -- it was told of an end; what begins anew is a new object
    primary key (repository_id, kind, thing)
);
