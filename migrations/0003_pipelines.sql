-- Several pipelines per repository, events beside pushes and pull requests, variables. Additive: a server of the
-- version before works beside a newer one; what it does not know is filled in here.

-- Which files are pipelines: `file`, the one of `pipeline_path`; `tidegate`, that and those in `.tidegate`; `github`,
-- those in `.github/workflows`; `both`, all of them.
alter table repositories add column pipelines text not null default 'file'
    check (pipelines in ('file', 'tidegate', 'github', 'both'));
-- Names of events that occur in the pipeline files of the default branch; null: nobody has looked yet. An event whose
-- name is not among them starts nothing there, and nothing is fetched for it.
alter table repositories add column named_events text[];

-- The pipeline file of a run, and how many ends of other runs lie before its start.
alter table runs add column path text;
update runs r set path = coalesce(r.plan->'source'->>'path', p.pipeline_path) from repositories p where p.id = r.repository_id;
alter table runs add column depth integer not null default 0 check (depth between 0 and 5);
-- All that the forge said about the event. Beside `event`, which is read whenever a run is looked at.
alter table runs add column payload json;

create function fill_run_path() returns trigger language plpgsql as $$
begin
    new.path := coalesce(new.path, new.plan->'source'->>'path',
        (select pipeline_path from repositories where id = new.repository_id));
    return new;
end $$;
create trigger path before insert on runs for each row execute function fill_run_path();
alter table runs alter column path set not null;
create index on runs (repository_id, path, id desc);
create index on runs (repository_id, sha);

-- A delivery makes one run of each file, for each kind of event that it tells of.
create unique index on runs (delivery_id, path, event_kind) where delivery_id is not null and rerun_of is null;
drop index runs_delivery_id_pipeline_idx;

-- Set: no forge tells this, but the server itself: this run ended.
alter table deliveries add column run_id uuid references runs on delete cascade;

-- Schedules are a file's. Empty: the one of `pipeline_path`.
alter table schedules add column path text not null default '';
alter table schedules drop constraint schedules_pkey;
alter table schedules add primary key (repository_id, path, cron, time_zone);

-- Values that pipelines read as `vars`: as secrets, but nothing is secret about them.
create table variables (
    id            uuid primary key,
    repository_id uuid not null references repositories on delete cascade,
    environment   text,                        -- null: every stage
    name          text not null check (name ~ '^[A-Z_][A-Z0-9_]{0,99}$'),
    value         text not null,
    updated_at    timestamptz not null default now(),
    updated_by    text not null,
    unique nulls not distinct (repository_id, environment, name)
);

-- What steps say of places in files, and TAP.
alter table reports drop constraint reports_kind_check;
alter table reports add check (kind in ('junit', 'cobertura', 'lcov', 'sarif', 'tap', 'annotations'));

-- What steps write for the run's page, Markdown.
create table step_notes (
    attempt_id uuid not null references attempts on delete cascade,
    step       integer not null,
    text       text not null,
    primary key (attempt_id, step)
);

-- The plan of the stage itself that an approval is for; null: opened by an older server.
alter table gates add column stage_digest bytea;

-- The concurrency group of a stage, told when its turn has come, and its place in the group's queue.
alter table stages add column concurrency_group text;
alter table stages add column group_since timestamptz;
alter table stages add check ((concurrency_group is null) = (group_since is null));
create index on stages (concurrency_group, group_since) where concurrency_group is not null and finished_at is null;
