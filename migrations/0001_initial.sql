-- Tidegate's whole state. Postgres is the only truth: nothing that matters lives in a process.
-- Words are those of ARCHITECTURE.md. Times are the database's clock. Ids are UUIDs of version 7.

-- ------------------------------------------------------------------------------------------------ people

create table users (
    id            uuid primary key,
    username      text not null unique check (username ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    display_name  text not null,
    password_hash text,                       -- argon2id; null: cannot log in with a password
    role          text not null check (role in ('viewer', 'developer', 'release_manager', 'admin')),
    disabled      boolean not null default false,
    created_at    timestamptz not null default now()
);

create table sessions (
    token_hash bytea primary key,             -- SHA-256 of the cookie's value
    user_id    uuid not null references users on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    user_agent text not null default ''
);
create index on sessions (user_id);

create table api_tokens (
    id           uuid primary key,
    user_id      uuid not null references users on delete cascade,
    name         text not null,
    token_hash   bytea not null unique,
    created_at   timestamptz not null default now(),
    last_used_at timestamptz,
    expires_at   timestamptz,
    unique (user_id, name)
);

-- Append-only, hash-chained: who did what. `hash` covers the row and the hash before it.
create table audit (
    seq     bigint primary key,
    at      timestamptz not null default now(),
    actor   text not null,
    action  text not null,
    subject text not null,
    detail  jsonb not null default '{}',
    hash    bytea not null
);

-- ------------------------------------------------------------------------------------------ repositories

create table repositories (
    id                    uuid primary key,
    full_name             text not null unique check (full_name ~ '^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$'),
    forge                 text not null check (forge in ('github', 'git')), -- git: no statuses are sent
    clone_url             text not null,
    default_branch        text not null default 'main',
    pipeline_path         text not null default '.tidegate/pipeline.yml',
    webhook_secret_sealed bytea not null,
    clone_token_sealed    bytea,              -- `user:token` for clones
    next_run_number       bigint not null default 1,
    created_at            timestamptz not null default now()
);

-- Secrets, sealed with an AEAD under a key that is not in this database. The AAD binds a row to its place.
create table secrets (
    id            uuid primary key,
    repository_id uuid references repositories on delete cascade, -- null: every repository
    environment   text,                                           -- null: every stage
    name          text not null check (name ~ '^[A-Z][A-Z0-9_]{0,99}$'),
    sealed        bytea not null,
    version       integer not null default 1,
    updated_at    timestamptz not null default now(),
    updated_by    text not null,
    unique nulls not distinct (repository_id, environment, name)
);

-- --------------------------------------------------------------------------------------- inbox and outbox

create table deliveries (
    id            uuid primary key,
    repository_id uuid not null references repositories on delete cascade,
    delivery_key  text not null,               -- X-GitHub-Delivery
    content_key   bytea not null,              -- SHA-256 of event name and raw body
    event         text not null,
    body          bytea not null,              -- the raw bytes whose signature was checked
    received_at   timestamptz not null default now(),
    state         text not null default 'received' check (state in ('received', 'processed', 'ignored', 'failed')),
    attempts      integer not null default 0,
    not_before    timestamptz not null default now(),
    result        text,                        -- what came of it, in one sentence
    unique (repository_id, delivery_key),
    unique (repository_id, content_key)
);
create index on deliveries (not_before) where state = 'received';

create table outbox (
    id              bigint generated always as identity primary key,
    idempotency_key text not null unique,
    kind            text not null,             -- github_status, github_check, github_deployment, …
    repository_id   uuid not null references repositories on delete cascade,
    payload         jsonb not null,
    created_at      timestamptz not null default now(),
    state           text not null default 'waiting' check (state in ('waiting', 'sent', 'dead')),
    attempts        integer not null default 0,
    not_before      timestamptz not null default now(),
    last_error      text
);
create index on outbox (not_before) where state = 'waiting';

-- ---------------------------------------------------------------------------------------------- runners

create table enrolment_tokens (
    token_hash bytea primary key,
    created_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz
);

create table runners (
    id           uuid primary key,
    name         text not null,
    key_hash     bytea not null unique,
    labels       text[] not null default '{}',
    version      text not null default '',
    enrolled_at  timestamptz not null default now(),
    last_seen_at timestamptz,
    free_slots   integer not null default 0,
    disabled     boolean not null default false
);

-- ------------------------------------------------------------------------------------- runs and stages

create table runs (
    id                uuid primary key,
    repository_id     uuid not null references repositories on delete cascade,
    number            bigint not null,
    pipeline          text not null,           -- the pipeline's name
    status            text not null default 'running',
    reason            text,                    -- why it is where it is, in one sentence
    event             jsonb not null,          -- pipelines::event::Event
    event_kind        text not null,
    sha               text not null check (sha ~ '^[0-9a-f]{40}$'),
    reference         text not null,
    title             text not null,           -- the commit message's first line
    actor             text not null,           -- who caused it, on the forge or here
    plan              json,                    -- pipelines::plan::Plan; null when invalid. json keeps the order
    plan_digest       bytea,                   -- SHA-256 of the plan's JSON, what approvals bind to
    source_text       text,                    -- the pipeline file, for diagnostics and the page
    diagnostics       jsonb not null default '[]',
    concurrency_group text,
    rerun_of          uuid references runs,
    delivery_id       uuid references deliveries on delete set null,
    trusted           boolean not null,
    cancel_requested  text,                    -- by whom
    created_at        timestamptz not null default now(),
    started_at        timestamptz,
    finished_at       timestamptz,
    unique (repository_id, number)
);
create index on runs (created_at desc);
create index on runs (status) where finished_at is null;
create index on runs (repository_id, concurrency_group) where finished_at is null;
create unique index on runs (delivery_id, pipeline) where delivery_id is not null and rerun_of is null;

create table stages (
    id              uuid primary key,
    run_id          uuid not null references runs on delete cascade,
    key             text not null,
    position        integer not null,          -- order on the page
    plan            json not null,             -- pipelines::plan::StagePlan, templates as written
    verb            text not null check (verb in ('run', 'build', 'push', 'deploy', 'smoke')),
    status          text not null default 'blocked',
    reason          text,                      -- why it is where it is, in one sentence
    epoch           bigint not null default 0, -- the fence: grows with each lease
    attempts        integer not null default 0,
    attempts_before integer not null default 0, -- of them, those before it was last started over
    labels          text[] not null default '{}',
    pinned_runner   uuid references runners,   -- same_runner_as, resolved when queued
    environment     text,                      -- rendered, for deploy and smoke
    outputs         jsonb not null default '{}',
    rollback_of     uuid,                      -- the deployment that this stage undoes
    not_before      timestamptz not null default now(), -- back-off before the next attempt
    cancel_requested boolean not null default false,
    queued_at       timestamptz,
    started_at      timestamptz,
    finished_at     timestamptz,
    unique (run_id, key)
);
create index on stages (queued_at) where status = 'queued';

create table attempts (
    id               uuid primary key,
    stage_id         uuid not null references stages on delete cascade,
    run_id           uuid not null references runs on delete cascade,
    runner_id        uuid not null references runners,
    number           integer not null,
    epoch            bigint not null,
    status           text not null default 'running',
    reason           text,
    exit_code        integer,
    started_at       timestamptz not null default now(),
    lease_expires_at timestamptz not null,
    finished_at      timestamptz,
    finish           jsonb,                    -- protocol::messages::Finish as reported, to recognise a repeat
    backlog_bytes    bigint not null default 0,
    unique (stage_id, epoch),
    unique (stage_id, number)
);
create index on attempts (lease_expires_at) where status = 'running';
create index on attempts (run_id);
-- At most one attempt of a stage is at work.
create unique index on attempts (stage_id) where status = 'running';

create table steps (
    attempt_id  uuid not null references attempts on delete cascade,
    index       integer not null,
    name        text not null,
    status      text not null,
    exit_code   integer,
    duration_ms bigint,
    started_at  timestamptz,
    finished_at timestamptz,
    log_bytes   bigint not null default 0,     -- contiguous bytes stored so far
    log_lines   bigint not null default 0,     -- newlines in them
    primary key (attempt_id, index)
);

create table log_chunks (
    attempt_id uuid not null,
    step       integer not null,
    byte_start bigint not null,
    byte_count integer not null check (byte_count > 0),
    line_start bigint not null,                -- newlines before this chunk
    data       bytea not null,                 -- one zstd frame
    at         timestamptz not null default now(),
    primary key (attempt_id, step, byte_start),
    foreign key (attempt_id, step) references steps (attempt_id, index) on delete cascade
);
alter table log_chunks alter column data set storage external; -- compressed already

-- Writes that were refused because a newer epoch exists (or the runner was not the attempt's): evidence.
create table refused_writes (
    id         bigint generated always as identity primary key,
    at         timestamptz not null default now(),
    runner_id  uuid,
    attempt_id uuid,
    epoch      bigint,
    call       text not null,
    reason     text not null
);

-- What happened to a run, in order: what the page streams. `seq` is global, so one cursor resumes any stream.
create table events (
    seq     bigint generated always as identity primary key,
    run_id  uuid not null references runs on delete cascade,
    stage   text,
    kind    text not null,
    message text not null,
    detail  jsonb not null default '{}',
    at      timestamptz not null default now()
);
create index on events (run_id, seq);

-- -------------------------------------------------------------------------------------- blobs and results

-- Content-addressed, immutable, verified on read.
create table blobs (
    sha256     bytea primary key,
    size       bigint not null,
    created_at timestamptz not null default now()
);
create table blob_chunks (
    sha256 bytea not null references blobs on delete cascade,
    index  integer not null,
    data   bytea not null,
    primary key (sha256, index)
);
alter table blob_chunks alter column data set storage external;

create table artifacts (
    id         uuid primary key,
    run_id     uuid not null references runs on delete cascade,
    stage_id   uuid not null references stages on delete cascade,
    attempt_id uuid not null references attempts on delete cascade,
    name       text not null,
    sha256     bytea not null references blobs,
    size       bigint not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    unique (stage_id, name)
);
create index on artifacts (run_id);
create index on artifacts (sha256);
create index on artifacts (expires_at);

create table caches (
    repository_id uuid not null references repositories on delete cascade,
    scope         text not null,               -- the ref that wrote it; reads go up to the default branch
    key           text not null,
    sha256        bytea not null references blobs,
    size          bigint not null,
    created_at    timestamptz not null default now(),
    used_at       timestamptz not null default now(),
    primary key (repository_id, scope, key)
);
create index on caches (sha256);
create index on caches (used_at);

create table reports (
    attempt_id uuid not null references attempts on delete cascade,
    kind       text not null check (kind in ('junit', 'cobertura', 'lcov', 'sarif')),
    path       text not null,
    summary    jsonb not null,                 -- server::reports::Summary
    primary key (attempt_id, kind, path)
);

-- --------------------------------------------------------------------- environments, gates, deployments

create table environments (
    id                 uuid primary key,
    repository_id      uuid not null references repositories on delete cascade,
    name               text not null check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    url                text,
    required_approvals integer not null default 0 check (required_approvals between 0 and 10),
    approver_role      text not null default 'release_manager' check (approver_role in ('developer', 'release_manager', 'admin')),
    approvers          text[] not null default '{}', -- usernames; empty: everybody with the role
    allow_self_approval boolean not null default false,
    branches           text[] not null default '{}', -- globs of branches and tags that may deploy; empty: all
    wait_seconds       integer not null default 0 check (wait_seconds >= 0),
    gate_expires_seconds integer not null default 2592000 check (gate_expires_seconds > 0),
    frozen_reason      text,                          -- set: nothing is deployed
    created_at         timestamptz not null default now(),
    unique (repository_id, name)
);

create table gates (
    id             uuid primary key,
    run_id         uuid not null references runs on delete cascade,
    stage_id       uuid not null references stages on delete cascade,
    environment_id uuid not null references environments on delete cascade,
    status         text not null default 'open',
    -- What an approval binds to; a stage that would do anything else is not dispatched.
    sha            text not null,
    plan_digest    bytea not null,
    image          text not null,
    required_approvals integer not null,
    created_at     timestamptz not null default now(),
    ready_at       timestamptz not null,       -- end of the wait timer
    expires_at     timestamptz not null,
    closed_at      timestamptz,
    consumed_at    timestamptz,                -- single use: set when the stage was queued by it
    reason         text
);
create unique index on gates (stage_id) where status in ('open', 'approved');
create index on gates (run_id);

create table decisions (
    gate_id     uuid not null references gates on delete cascade,
    user_id     uuid not null references users,
    username    text not null,
    role        text not null,                 -- at the time
    verdict     text not null check (verdict in ('approve', 'reject')),
    comment     text not null default '',
    via         text not null check (via in ('session', 'token')),
    at          timestamptz not null default now(),
    primary key (gate_id, user_id)
);

create table deployments (
    id             uuid primary key,
    environment_id uuid not null references environments on delete cascade,
    run_id         uuid not null references runs on delete cascade,
    stage_id       uuid not null references stages on delete cascade,
    attempt_id     uuid references attempts,
    image          text not null,              -- repository@sha256:…
    previous_image text,                       -- recorded before it starts
    previous_id    uuid references deployments,
    rollback_of    uuid references deployments,
    status         text not null default 'deploying',
    reason         text,
    actor          text not null,
    sha            text not null,
    created_at     timestamptz not null default now(),
    finished_at    timestamptz
);
create index on deployments (environment_id, created_at desc);
create index on deployments (run_id);
-- Deployments of one environment are serial.
create unique index on deployments (environment_id) where status in ('deploying', 'verifying');

create table schedules (
    repository_id uuid not null references repositories on delete cascade,
    cron          text not null,
    time_zone     text not null,
    next_at       timestamptz not null,
    primary key (repository_id, cron, time_zone)
);

-- ---------------------------------------------------------------------------------------- transitions

-- Which state may follow which, for people who read and for the trigger that refuses anything else.
create table transitions (
    entity     text not null,
    from_state text not null,
    to_state   text not null,
    primary key (entity, from_state, to_state)
);

insert into transitions (entity, from_state, to_state) values
    ('runs', 'pending', 'running'), ('runs', 'pending', 'cancelled'),
    ('runs', 'running', 'waiting'), ('runs', 'waiting', 'running'),
    ('runs', 'running', 'succeeded'), ('runs', 'running', 'warned'), ('runs', 'running', 'failed'), ('runs', 'running', 'cancelled'),
    ('runs', 'waiting', 'succeeded'), ('runs', 'waiting', 'warned'), ('runs', 'waiting', 'failed'), ('runs', 'waiting', 'cancelled'),
    -- a rerun of failed stages in place
    ('runs', 'failed', 'running'), ('runs', 'cancelled', 'running'), ('runs', 'warned', 'running'),
    ('stages', 'blocked', 'queued'), ('stages', 'blocked', 'gated'), ('stages', 'blocked', 'skipped'), ('stages', 'blocked', 'cancelled'), ('stages', 'blocked', 'failed'),
    ('stages', 'gated', 'queued'), ('stages', 'gated', 'failed'), ('stages', 'gated', 'cancelled'), ('stages', 'gated', 'skipped'),
    ('stages', 'queued', 'running'), ('stages', 'queued', 'cancelled'), ('stages', 'queued', 'failed'), ('stages', 'queued', 'gated'),
    ('stages', 'running', 'succeeded'), ('stages', 'running', 'warned'), ('stages', 'running', 'failed'), ('stages', 'running', 'cancelled'),
    ('stages', 'running', 'queued'), ('stages', 'running', 'unknown'),
    ('stages', 'succeeded', 'blocked'), ('stages', 'failed', 'blocked'), ('stages', 'cancelled', 'blocked'), ('stages', 'skipped', 'blocked'), ('stages', 'warned', 'blocked'), ('stages', 'unknown', 'blocked'),
    ('stages', 'unknown', 'failed'), ('stages', 'unknown', 'succeeded'),
    ('attempts', 'running', 'succeeded'), ('attempts', 'running', 'failed'), ('attempts', 'running', 'cancelled'), ('attempts', 'running', 'lost'),
    ('gates', 'open', 'approved'), ('gates', 'open', 'rejected'), ('gates', 'open', 'expired'), ('gates', 'open', 'voided'),
    ('gates', 'approved', 'voided'),
    ('deployments', 'deploying', 'verifying'), ('deployments', 'deploying', 'succeeded'), ('deployments', 'deploying', 'failed'), ('deployments', 'deploying', 'unknown'),
    ('deployments', 'verifying', 'succeeded'), ('deployments', 'verifying', 'failed'),
    ('deployments', 'failed', 'rolled_back'), ('deployments', 'unknown', 'failed'), ('deployments', 'unknown', 'succeeded'), ('deployments', 'unknown', 'verifying'), ('deployments', 'unknown', 'rolled_back');

create function check_transition() returns trigger language plpgsql as $$
begin
    if new.status is distinct from old.status and not exists (
        select from transitions where entity = tg_table_name and from_state = old.status and to_state = new.status
    ) then
        raise exception 'illegal transition of %: % -> %', tg_table_name, old.status, new.status
            using errcode = 'check_violation';
    end if;
    return new;
end $$;

create trigger transition before update of status on runs for each row execute function check_transition();
create trigger transition before update of status on stages for each row execute function check_transition();
create trigger transition before update of status on attempts for each row execute function check_transition();
create trigger transition before update of status on gates for each row execute function check_transition();
create trigger transition before update of status on deployments for each row execute function check_transition();

alter table runs add check (status in ('pending', 'running', 'waiting', 'succeeded', 'warned', 'failed', 'cancelled', 'invalid'));
alter table stages add check (status in ('blocked', 'gated', 'queued', 'running', 'succeeded', 'warned', 'failed', 'skipped', 'cancelled', 'unknown'));
alter table attempts add check (status in ('running', 'succeeded', 'failed', 'cancelled', 'lost'));
alter table steps add check (status in ('pending', 'running', 'succeeded', 'failed', 'skipped', 'cancelled'));
alter table gates add check (status in ('open', 'approved', 'rejected', 'expired', 'voided'));
alter table deployments add check (status in ('deploying', 'verifying', 'succeeded', 'failed', 'rolled_back', 'unknown'));

-- The audit trail is append-only, whoever asks.
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit trail is append-only' using errcode = 'insufficient_privilege';
end $$;
create trigger append_only before update or delete or truncate on audit for each statement execute function refuse_change();
