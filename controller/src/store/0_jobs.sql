-- Times are microseconds since the epoch, UTC. Digests are 64 hexadecimal digits.

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    query TEXT NOT NULL,
    -- Digest of the generated sources.
    code TEXT NOT NULL,
    -- Digest of the executable in the artifact store.
    binary TEXT NOT NULL,
    -- JSON, for the workers.
    plan TEXT NOT NULL,
    -- 'running' or 'stopped': what the user wants.
    desired TEXT NOT NULL,
    -- What is the case; see docs/job-states.md.
    state TEXT NOT NULL,
    -- The newest attempt; 0 before the first.
    generation INTEGER NOT NULL DEFAULT 0,
    restarts INTEGER NOT NULL DEFAULT 0,
    failure_class TEXT,
    failure_message TEXT,
    failure_hint TEXT,
    failure_detail TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER
) STRICT;

CREATE INDEX jobs_created_at ON jobs (created_at);

CREATE TABLE transitions (
    seq INTEGER PRIMARY KEY,
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    generation INTEGER NOT NULL
) STRICT;

CREATE INDEX transitions_job ON transitions (job, seq);
