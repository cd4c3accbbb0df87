-- The checkpoints of a job that were taken last, with how long they took, in microseconds.

CREATE TABLE checkpoints (
    seq INTEGER PRIMARY KEY,
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    -- As the manifest has it.
    reason TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    -- From the barrier to the last task's report, from there to the record in the log, from there to the last sink.
    collect_micros INTEGER NOT NULL,
    write_micros INTEGER NOT NULL,
    publish_micros INTEGER NOT NULL,
    -- Files of changed rows.
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    -- Files that were made of others.
    merged_bytes INTEGER NOT NULL
) STRICT;

CREATE INDEX checkpoints_job ON checkpoints (job, seq);

CREATE TABLE checkpoint_tasks (
    checkpoint INTEGER NOT NULL REFERENCES checkpoints (seq) ON DELETE CASCADE,
    stage INTEGER NOT NULL,
    task INTEGER NOT NULL,
    -- From the first barrier to the last; while the task did nothing else; behind its back.
    align_micros INTEGER NOT NULL,
    snapshot_micros INTEGER NOT NULL,
    upload_micros INTEGER NOT NULL,
    -- Changed rows, and the bytes of their files.
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (checkpoint, stage, task)
) STRICT, WITHOUT ROWID;
