//! The metadata store: which jobs there are, what is wanted of them, what became of them, and how their last checkpoints
//! went.
//!
//! An SQLite file in the state directory, in WAL mode with one connection: the controller is its only writer (see
//! [`crate::lock`]), readers may look at any time. A commit survives the end of the process at once, and the end of the
//! machine from the next WAL checkpoint on. That is enough: what a job processed is recorded with its data, not here.
//!
//! The schema's version is SQLite's `user_version`; [`MIGRATIONS`] are applied in order, each in a transaction of its
//! own, and never change once released.
//!
//! Not here: progress, which is worth nothing after the moment, and the bytes of binaries.

use std::path::{Path, PathBuf};
use std::time::Duration;

use artifacts::Digest;
use protocol::checkpoint::{Reason, SnapshotTimes};
use serde_json::Value;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Acquire as _, AssertSqlSafe, Row as _};

use crate::checkpoint::{Completed, Part};
use crate::job::{ErrorClass, Failure, JobSpec};
use crate::scheduler::ProcessId;
use crate::state::JobState;

/// The schema, step by step; the position is the version that the step leads from.
const MIGRATIONS: &[&str] =
    &[include_str!("store/0_jobs.sql"), include_str!("store/1_checkpoints.sql"), include_str!("store/2_workers.sql")];

/// Most checkpoints of a job in its history.
const CHECKPOINTS_MOST: i64 = 100;

/// The file's name in the state directory.
pub const FILE: &str = "state.sqlite";

#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the state store \"{}\": {source}", path.display())]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("the state store \"{}\" was written by a newer version: its schema is {found}, this program knows {known}", path.display())]
    Newer { path: PathBuf, found: i64, known: usize },
    #[error("the state store \"{}\" was written by an older version", path.display())]
    Older { path: PathBuf },
    #[error("cannot {action} the state store: {source}")]
    Sql { action: &'static str, source: sqlx::Error },
    #[error("the state store holds a job that cannot be read: {0}")]
    Unreadable(String),
}

impl StoreError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            StoreError::Newer { .. } => "Use the newer version, or give another directory with --state-dir.",
            StoreError::Older { .. } => "Run the job once with this version, which brings the store up to date.",
            _ => "Check that the directory is writable and has space, or give another one with --state-dir.",
        }
    }
}

/// What is wanted of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    Running,
    Stopped,
}

impl Desired {
    fn name(self) -> &'static str {
        match self {
            Desired::Running => "running",
            Desired::Stopped => "stopped",
        }
    }
}

/// A job as it is stored. Times are microseconds since the epoch, UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRecord {
    pub id: String,
    pub name: String,
    pub query: String,
    pub code: String,
    pub binary: Digest,
    pub plan: String,
    pub desired: Desired,
    pub state: JobState,
    pub generation: u64,
    pub restarts: u32,
    pub failure: Option<Failure>,
    pub created_at: i64,
    pub updated_at: i64,
    pub started_at: Option<i64>,
    pub ended_at: Option<i64>,
}

/// A worker that goes on when its controller ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRecord {
    pub id: String,
    /// The last one that was given to it.
    pub generation: u64,
    pub process: ProcessId,
    /// Of all that it was told when it was started.
    pub orders: Digest,
}

/// A change of state, for the history of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub at: i64,
    pub from: JobState,
    pub to: JobState,
    pub generation: u64,
}

fn now_micros() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

fn sql(action: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Sql { action, source }
}

impl Store {
    /// Opens or makes the store in a state directory that exists.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is no database, or is of a newer version.
    pub async fn open(directory: &Path) -> Result<Store, StoreError> {
        let path = directory.join(FILE);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true);
        let opened = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        let pool = opened.map_err(|source| StoreError::Open { path: path.clone(), source })?;
        let store = Store { pool };
        store.migrate(&path).await?;
        Ok(store)
    }

    /// Opens the store of a state directory to look into it, beside whoever writes to it.
    ///
    /// # Errors
    /// When there is none, or it is of another version.
    pub async fn look(directory: &Path) -> Result<Store, StoreError> {
        let path = directory.join(FILE);
        let options = SqliteConnectOptions::new().filename(&path).read_only(true);
        let opened = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        let pool = opened.map_err(|source| StoreError::Open { path: path.clone(), source })?;
        let version = sqlx::query_scalar::<_, i64>("PRAGMA user_version").fetch_one(&pool).await;
        match version.map_err(sql("read"))? {
            found if found > MIGRATIONS.len() as i64 => Err(StoreError::Newer { path, found, known: MIGRATIONS.len() }),
            found if found < MIGRATIONS.len() as i64 => Err(StoreError::Older { path }),
            _ => Ok(Store { pool }),
        }
    }

    async fn migrate(&self, path: &Path) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await.map_err(sql("open"))?;
        let found: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(sql("read"))?;
        let Some(open) = usize::try_from(found).ok().and_then(|found| MIGRATIONS.get(found..)) else {
            return Err(StoreError::Newer { path: path.to_owned(), found, known: MIGRATIONS.len() });
        };
        for (step, text) in open.iter().enumerate() {
            let mut transaction = connection.begin().await.map_err(sql("migrate"))?;
            sqlx::raw_sql(*text).execute(&mut *transaction).await.map_err(sql("migrate"))?;
            // A pragma takes no parameters; the number is ours.
            let version = format!("PRAGMA user_version = {}", found + step as i64 + 1);
            sqlx::raw_sql(AssertSqlSafe(version)).execute(&mut *transaction).await.map_err(sql("migrate"))?;
            transaction.commit().await.map_err(sql("migrate"))?;
        }
        Ok(())
    }

    /// Writes what is in memory and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A new job, in state Created.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn insert(&self, id: &str, spec: &JobSpec) -> Result<(), StoreError> {
        let now = now_micros();
        sqlx::query(
            "INSERT INTO jobs (id, name, query, code, binary, plan, desired, state, created_at, updated_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id)
        .bind(&spec.name)
        .bind(&spec.query)
        .bind(&spec.code)
        .bind(spec.binary.to_string())
        .bind(&spec.plan)
        .bind(Desired::Running.name())
        .bind(JobState::Created.name())
        .bind(now)
        .bind(now)
        .execute(&self.pool)
        .await
        .map_err(sql("write to"))?;
        Ok(())
    }

    /// A job that is started again, perhaps with another plan.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn restart(&self, id: &str, spec: &JobSpec) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE jobs SET name = ?, query = ?, code = ?, binary = ?, plan = ?, desired = ?, state = ?, restarts = 0,
                 updated_at = ?, ended_at = NULL, failure_class = NULL, failure_message = NULL, failure_hint = NULL,
                 failure_detail = NULL
             WHERE id = ?",
        )
        .bind(&spec.name)
        .bind(&spec.query)
        .bind(&spec.code)
        .bind(spec.binary.to_string())
        .bind(&spec.plan)
        .bind(Desired::Running.name())
        .bind(JobState::Created.name())
        .bind(now_micros())
        .bind(id)
        .execute(&self.pool)
        .await
        .map_err(sql("write to"))?;
        Ok(())
    }

    /// Records where a job is, and how it got there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn record(
        &self,
        id: &str,
        from: JobState,
        to: JobState,
        generation: u64,
        restarts: u32,
        failure: Option<&Failure>,
    ) -> Result<(), StoreError> {
        let now = now_micros();
        let generation = generation as i64;
        let mut transaction = self.pool.begin().await.map_err(sql("write to"))?;
        sqlx::query(
            "UPDATE jobs SET state = ?, generation = ?, restarts = ?, updated_at = ?,
                 started_at = CASE WHEN ? THEN coalesce(started_at, ?) ELSE started_at END,
                 ended_at = CASE WHEN ? THEN ? END,
                 failure_class = ?, failure_message = ?, failure_hint = ?, failure_detail = ?
             WHERE id = ?",
        )
        .bind(to.name())
        .bind(generation)
        .bind(i64::from(restarts))
        .bind(now)
        .bind(to == JobState::Running)
        .bind(now)
        .bind(to.is_terminal())
        .bind(now)
        .bind(failure.map(|failure| failure.class.name()))
        .bind(failure.map(|failure| failure.message.as_str()))
        .bind(failure.and_then(|failure| failure.hint.as_deref()))
        .bind(failure.and_then(|failure| failure.detail.as_deref()))
        .bind(id)
        .execute(&mut *transaction)
        .await
        .map_err(sql("write to"))?;
        sqlx::query("INSERT INTO transitions (job, at, from_state, to_state, generation) VALUES (?, ?, ?, ?, ?)")
            .bind(id)
            .bind(now)
            .bind(from.name())
            .bind(to.name())
            .bind(generation)
            .execute(&mut *transaction)
            .await
            .map_err(sql("write to"))?;
        transaction.commit().await.map_err(sql("write to"))
    }

    /// Records what the user wants.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn desire(&self, id: &str, desired: Desired) -> Result<(), StoreError> {
        sqlx::query("UPDATE jobs SET desired = ?, updated_at = ? WHERE id = ?")
            .bind(desired.name())
            .bind(now_micros())
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(sql("write to"))?;
        Ok(())
    }

    /// Ends the records of jobs whose controller is gone, and so are their workers, which die with it. Returns how
    /// many there were.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn end_abandoned(&self) -> Result<u64, StoreError> {
        let now = now_micros();
        let done = sqlx::query(
            "UPDATE jobs SET failure_class = 'retryable', failure_message = 'the controller ended while the job was ' || state,
                 failure_hint = 'Run the query again.', state = 'Failed', updated_at = ?, ended_at = ?
             WHERE state NOT IN ('Stopped', 'Finished', 'Failed')",
        )
        .bind(now)
        .bind(now)
        .execute(&self.pool)
        .await
        .map_err(sql("write to"))?;
        Ok(done.rows_affected())
    }

    /// All jobs, the newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn jobs(&self) -> Result<Vec<JobRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM jobs ORDER BY created_at DESC, id DESC")
            .fetch_all(&self.pool)
            .await
            .map_err(sql("read"))?;
        rows.iter().map(job_record).collect()
    }

    /// The job that was submitted last.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn last_job(&self) -> Result<Option<JobRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM jobs ORDER BY created_at DESC, id DESC LIMIT 1")
            .fetch_optional(&self.pool)
            .await
            .map_err(sql("read"))?;
        row.as_ref().map(job_record).transpose()
    }

    /// One job.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn job(&self, id: &str) -> Result<Option<JobRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM jobs WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(sql("read"))?;
        row.as_ref().map(job_record).transpose()
    }

    /// The states that a job went through, in order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn transitions(&self, id: &str) -> Result<Vec<Transition>, StoreError> {
        let rows =
            sqlx::query("SELECT at, from_state, to_state, generation FROM transitions WHERE job = ? ORDER BY seq")
                .bind(id)
                .fetch_all(&self.pool)
                .await
                .map_err(sql("read"))?;
        rows.iter()
            .map(|row| {
                Ok(Transition {
                    at: column(row, "at")?,
                    from: state(&column::<String>(row, "from_state")?)?,
                    to: state(&column::<String>(row, "to_state")?)?,
                    generation: column::<i64>(row, "generation")? as u64,
                })
            })
            .collect()
    }

    /// Records the worker of a job that goes on when this controller ends.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn record_worker(&self, job: &str, worker: &WorkerRecord) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO workers (job, id, generation, pid, began, orders) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (job) DO UPDATE SET id = excluded.id, generation = excluded.generation, pid = excluded.pid,
                 began = excluded.began, orders = excluded.orders",
        )
        .bind(job)
        .bind(&worker.id)
        .bind(worker.generation as i64)
        .bind(i64::from(worker.process.pid))
        .bind(worker.process.began as i64)
        .bind(worker.orders.to_string())
        .execute(&self.pool)
        .await
        .map_err(sql("write to"))?;
        Ok(())
    }

    /// The worker of a job has ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn forget_worker(&self, job: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM workers WHERE job = ?")
            .bind(job)
            .execute(&self.pool)
            .await
            .map_err(sql("write to"))?;
        Ok(())
    }

    /// Workers that may have outlived their controller, by job.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn workers(&self) -> Result<Vec<(String, WorkerRecord)>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM workers ORDER BY job").fetch_all(&self.pool).await.map_err(sql("read"))?;
        rows.iter().map(|row| Ok((column(row, "job")?, worker_record(row)?))).collect()
    }

    /// Adds a checkpoint to the history of a job, of which those before the last hundred go.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn record_checkpoint(&self, job: &str, completed: &Completed) -> Result<(), StoreError> {
        let reason = serde_json::to_value(completed.reason).ok();
        let reason = reason.as_ref().and_then(Value::as_str).unwrap_or_default();
        let mut transaction = self.pool.begin().await.map_err(sql("write to"))?;
        let seq: i64 = sqlx::query_scalar(
            "INSERT INTO checkpoints (job, epoch, generation, reason, begun_at, collect_micros, write_micros,
                 publish_micros, files, bytes, merged_bytes)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq",
        )
        .bind(job)
        .bind(completed.epoch as i64)
        .bind(completed.generation as i64)
        .bind(reason)
        .bind(completed.begun_micros)
        .bind(micros(completed.collect))
        .bind(micros(completed.write))
        .bind(micros(completed.publish))
        .bind(completed.files as i64)
        .bind(completed.bytes as i64)
        .bind(completed.merged_bytes as i64)
        .fetch_one(&mut *transaction)
        .await
        .map_err(sql("write to"))?;
        for part in &completed.tasks {
            sqlx::query(
                "INSERT INTO checkpoint_tasks (checkpoint, stage, task, align_micros, snapshot_micros, upload_micros,
                     rows, bytes, publish_micros)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(seq)
            .bind(part.place.0 as i64)
            .bind(part.place.1 as i64)
            .bind(part.times.align as i64)
            .bind(part.times.snapshot as i64)
            .bind(part.times.upload as i64)
            .bind(part.rows as i64)
            .bind(part.bytes as i64)
            .bind(part.publish.map(micros))
            .execute(&mut *transaction)
            .await
            .map_err(sql("write to"))?;
        }
        sqlx::query(
            "DELETE FROM checkpoints WHERE job = ?1 AND seq <=
                 (SELECT seq FROM checkpoints WHERE job = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        )
        .bind(job)
        .bind(CHECKPOINTS_MOST)
        .execute(&mut *transaction)
        .await
        .map_err(sql("write to"))?;
        transaction.commit().await.map_err(sql("write to"))
    }

    /// The last checkpoints of a job, the oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn checkpoints(&self, job: &str) -> Result<Vec<Completed>, StoreError> {
        let rows = sqlx::query("SELECT * FROM checkpoints WHERE job = ? ORDER BY seq")
            .bind(job)
            .fetch_all(&self.pool)
            .await
            .map_err(sql("read"))?;
        let mut history = Vec::with_capacity(rows.len());
        for row in &rows {
            let parts = sqlx::query("SELECT * FROM checkpoint_tasks WHERE checkpoint = ? ORDER BY stage, task")
                .bind(column::<i64>(row, "seq")?)
                .fetch_all(&self.pool)
                .await
                .map_err(sql("read"))?;
            history.push(completed(row, &parts)?);
        }
        Ok(history)
    }
}

/// As the store has it.
fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn completed(row: &SqliteRow, parts: &[SqliteRow]) -> Result<Completed, StoreError> {
    let number = |name: &str| column::<i64>(row, name).map(|number| number as u64);
    let time = |name: &str| number(name).map(Duration::from_micros);
    let reason: String = column(row, "reason")?;
    let part = |row: &SqliteRow| {
        let number = |name: &str| column::<i64>(row, name).map(|number| number as u64);
        Ok(Part {
            place: (number("stage")? as usize, number("task")? as usize),
            times: SnapshotTimes {
                align: number("align_micros")?,
                snapshot: number("snapshot_micros")?,
                upload: number("upload_micros")?,
            },
            rows: number("rows")?,
            bytes: number("bytes")?,
            publish: column::<Option<i64>>(row, "publish_micros")?.map(|time| Duration::from_micros(time as u64)),
        })
    };
    Ok(Completed {
        epoch: number("epoch")?,
        generation: number("generation")?,
        reason: serde_json::from_value::<Reason>(Value::String(reason))
            .map_err(|error| StoreError::Unreadable(error.to_string()))?,
        begun_micros: column(row, "begun_at")?,
        collect: time("collect_micros")?,
        write: time("write_micros")?,
        publish: time("publish_micros")?,
        files: number("files")? as usize,
        bytes: number("bytes")?,
        merged_bytes: number("merged_bytes")?,
        tasks: parts.iter().map(part).collect::<Result<_, StoreError>>()?,
    })
}

fn column<'r, T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>>(
    row: &'r SqliteRow,
    name: &str,
) -> Result<T, StoreError> {
    row.try_get(name).map_err(sql("read"))
}

fn state(name: &str) -> Result<JobState, StoreError> {
    JobState::parse(name).ok_or_else(|| StoreError::Unreadable(format!("state \"{name}\" is unknown")))
}

fn worker_record(row: &SqliteRow) -> Result<WorkerRecord, StoreError> {
    let orders: String = column(row, "orders")?;
    Ok(WorkerRecord {
        id: column(row, "id")?,
        generation: column::<i64>(row, "generation")? as u64,
        process: ProcessId { pid: column(row, "pid")?, began: column::<i64>(row, "began")? as u64 },
        orders: orders.parse().map_err(|error: artifacts::InvalidDigest| StoreError::Unreadable(error.to_string()))?,
    })
}

fn job_record(row: &SqliteRow) -> Result<JobRecord, StoreError> {
    let class: Option<String> = column(row, "failure_class")?;
    let failure = match class {
        None => None,
        Some(class) => Some(Failure {
            class: ErrorClass::parse(&class)
                .ok_or_else(|| StoreError::Unreadable(format!("error class \"{class}\" is unknown")))?,
            message: column(row, "failure_message")?,
            hint: column(row, "failure_hint")?,
            detail: column(row, "failure_detail")?,
        }),
    };
    let binary: String = column(row, "binary")?;
    let desired: String = column(row, "desired")?;
    Ok(JobRecord {
        id: column(row, "id")?,
        name: column(row, "name")?,
        query: column(row, "query")?,
        code: column(row, "code")?,
        binary: binary.parse().map_err(|error: artifacts::InvalidDigest| StoreError::Unreadable(error.to_string()))?,
        plan: column(row, "plan")?,
        desired: if desired == Desired::Running.name() { Desired::Running } else { Desired::Stopped },
        state: state(&column::<String>(row, "state")?)?,
        generation: column::<i64>(row, "generation")? as u64,
        restarts: u32::try_from(column::<i64>(row, "restarts")?).unwrap_or(u32::MAX),
        failure,
        created_at: column(row, "created_at")?,
        updated_at: column(row, "updated_at")?,
        started_at: column(row, "started_at")?,
        ended_at: column(row, "ended_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::tests::spec;

    #[tokio::test]
    async fn a_job_comes_back_as_it_was_stored() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        assert_eq!(store.last_job().await.unwrap(), None);
        store.insert("one", &spec()).await.unwrap();
        let failure = Failure {
            class: ErrorClass::User,
            message: "division by zero".into(),
            hint: Some("use NULLIF".into()),
            detail: None,
        };
        store.record("one", JobState::Created, JobState::Scheduling, 1, 0, None).await.unwrap();
        store.record("one", JobState::Scheduling, JobState::Running, 1, 0, None).await.unwrap();
        store.record("one", JobState::Running, JobState::Failed, 1, 2, Some(&failure)).await.unwrap();
        store.desire("one", Desired::Stopped).await.unwrap();
        store.close().await;

        let store = Store::open(directory.path()).await.unwrap();
        let job = store.job("one").await.unwrap().unwrap();
        assert_eq!(job.name, "flights");
        assert_eq!(job.binary, spec().binary);
        assert_eq!((job.state, job.generation, job.restarts), (JobState::Failed, 1, 2));
        assert_eq!(job.failure, Some(failure));
        assert_eq!(job.desired, Desired::Stopped);
        assert!(job.started_at.is_some() && job.ended_at.is_some());
        assert_eq!(store.last_job().await.unwrap().unwrap(), job);
        let states: Vec<_> = store.transitions("one").await.unwrap().into_iter().map(|step| step.to).collect();
        assert_eq!(states, [JobState::Scheduling, JobState::Running, JobState::Failed]);
        assert_eq!(store.end_abandoned().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_job_without_its_controller_has_failed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        store.insert("one", &spec()).await.unwrap();
        store.record("one", JobState::Scheduling, JobState::Running, 1, 0, None).await.unwrap();
        assert_eq!(store.end_abandoned().await.unwrap(), 1);
        let job = store.job("one").await.unwrap().unwrap();
        assert_eq!(job.state, JobState::Failed);
        assert_eq!(job.failure.unwrap().message, "the controller ended while the job was Running");
    }

    #[tokio::test]
    async fn the_last_checkpoints_of_each_job_are_its_history() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        store.insert("one", &spec()).await.unwrap();
        store.insert("other", &spec()).await.unwrap();
        let part = |task| Part {
            place: (3, task),
            times: SnapshotTimes { align: 1, snapshot: 2, upload: 3 },
            rows: 4,
            bytes: 5,
            publish: (task == 1).then_some(Duration::from_micros(6)),
        };
        let completed = |epoch| Completed {
            epoch,
            generation: 2,
            reason: Reason::Stop,
            begun_micros: 17,
            collect: Duration::from_micros(6),
            write: Duration::from_micros(7),
            publish: Duration::from_secs(8),
            bytes: 10,
            files: 2,
            merged_bytes: 9,
            tasks: vec![part(0), part(1)],
        };
        store.record_checkpoint("other", &completed(1)).await.unwrap();
        for epoch in 1..=105 {
            store.record_checkpoint("one", &completed(epoch)).await.unwrap();
        }
        let history = store.checkpoints("one").await.unwrap();
        assert_eq!(history, (6..=105).map(completed).collect::<Vec<_>>());
        assert_eq!(store.checkpoints("other").await.unwrap(), [completed(1)]);
        let parts: i64 =
            sqlx::query_scalar("SELECT count(*) FROM checkpoint_tasks").fetch_one(&store.pool).await.unwrap();
        assert_eq!(parts, 2 * 101);
    }

    #[tokio::test]
    async fn a_job_has_one_worker_that_may_outlive_its_controller() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        store.insert("one", &spec()).await.unwrap();
        let worker = |generation| WorkerRecord {
            id: "w".into(),
            generation,
            process: ProcessId { pid: u32::MAX, began: 17 },
            orders: Digest::of("orders"),
        };
        store.record_worker("one", &worker(3)).await.unwrap();
        store.record_worker("one", &worker(4)).await.unwrap();
        assert_eq!(store.workers().await.unwrap(), [("one".to_owned(), worker(4))]);
        store.forget_worker("one").await.unwrap();
        assert_eq!(store.workers().await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_is_looked_into_must_be_there_and_up_to_date() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Store::look(directory.path()).await, Err(StoreError::Open { .. })));
        let store = Store::open(directory.path()).await.unwrap();
        store.insert("one", &spec()).await.unwrap();
        let looked = Store::look(directory.path()).await.unwrap();
        assert_eq!(looked.jobs().await.unwrap().len(), 1, "beside the one who writes");
        assert!(looked.forget_worker("one").await.is_err());
        sqlx::raw_sql("PRAGMA user_version = 1").execute(&store.pool).await.unwrap();
        assert!(matches!(Store::look(directory.path()).await, Err(StoreError::Older { .. })));
    }

    #[tokio::test]
    async fn a_store_without_a_history_gets_one() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        let back = "DROP TABLE workers; DROP TABLE checkpoint_tasks; DROP TABLE checkpoints; PRAGMA user_version = 1";
        sqlx::raw_sql(back).execute(&store.pool).await.unwrap();
        store.insert("one", &spec()).await.unwrap();
        store.close().await;
        let store = Store::open(directory.path()).await.unwrap();
        assert_eq!(store.last_job().await.unwrap().unwrap().id, "one");
        assert_eq!(store.checkpoints("one").await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        sqlx::raw_sql("PRAGMA user_version = 99").execute(&store.pool).await.unwrap();
        store.close().await;
        let refused = Store::open(directory.path()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Newer { found: 99, .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), "not a database, but long enough to be looked at. ".repeat(50))
            .unwrap();
        let refused = Store::open(directory.path()).await.unwrap_err();
        assert!(refused.to_string().starts_with("cannot open the state store"), "{refused}");
    }
}
