-- Workers that go on when their controller ends, and how long each sink took to publish, in microseconds.

CREATE TABLE workers (
    job TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    -- The last one that was given to it.
    generation INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    -- When the process began, as the system counts: its number may be another's by now.
    began INTEGER NOT NULL,
    -- Digest of all that it was told when it was started.
    orders TEXT NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE checkpoint_tasks ADD COLUMN publish_micros INTEGER;
