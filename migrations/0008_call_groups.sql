-- Calls of other files in concurrency groups: a call waits as a whole, and is in its group from its first stage's turn to
-- its last stage's end. Additive: a server of the version before lets no call wait.
create table call_groups (
    run_id uuid not null references runs on delete cascade,
    -- The call's key in the run's plan.
    call text not null,
    concurrency_group text not null,
    since timestamptz not null default clock_timestamp(),
    -- As the call's `concurrency` in the plan.
    cancel_superseded boolean not null,
    replace_waiting boolean not null,
    -- One of its stages was queued since it joined.
    at_work boolean not null default false,
    -- Its stages were asked to stop.
    stopping boolean not null default false,
    primary key (run_id, call)
);
create index on call_groups (concurrency_group, since);

-- Everything that is in a group and has not ended. The order of a group is that of (since, tie).
create view group_members as
    select r.repository_id, s.run_id, r.number as run_number, s.id as stage, null::text as call, s.key,
        s.concurrency_group, s.group_since as since, s.id::text as tie,
        s.status in ('queued', 'running') as at_work, s.cancel_requested as stopping,
        coalesce(s.plan->'concurrency'->>'cancel_superseded', '') = 'true' as cancel_superseded,
        coalesce(s.plan->'concurrency'->>'replace_waiting', '') = 'true' as replace_waiting
    from stages s join runs r on r.id = s.run_id
    where s.concurrency_group is not null and s.finished_at is null
    union all
    select r.repository_id, c.run_id, r.number, null, c.call, c.call,
        c.concurrency_group, c.since, c.run_id || ' ' || c.call, c.at_work, c.stopping, c.cancel_superseded,
        c.replace_waiting
    from call_groups c join runs r on r.id = c.run_id;
