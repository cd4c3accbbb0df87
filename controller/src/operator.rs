//! What a running controller is asked for from outside, and by whom it lets itself be asked.
//!
//! ```text
//!   controller ── writes ──▶ STATE-DIR/controller.json: address, secret ── reads ──▶ streamwright savepoint, stop ...
//!       ▲                                                                               │
//!       └──────────────────── Operator (gRPC, loopback), with the secret ◀──────────────┘
//! ```
//!
//! Whoever may read the file may ask: it is its owner's alone, like all else in the directory that matters. The file goes
//! with the controller; one that a crash has left behind is known by the directory's lock, which a crash does not leave.
//! Workers that outlive their controller find the next one by the same file.
//!
//! Not here: what becomes of a wish (see [`crate::control`]).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::operator as asked;
use protocol::operator::operator_client::OperatorClient;
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde_json::{Value, json};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::control::JobHandle;
use crate::job::{ErrorClass, Failure, StopMode};
use crate::lock::is_locked;

/// The file's name in the state directory.
pub const FILE: &str = "controller.json";

/// Longest wait for the connection.
const CONNECT_MOST: Duration = Duration::from_secs(5);

/// Where an answer has its hint.
const HINT: &str = "hint";

/// Where a controller can be asked, for as long as the value lives.
#[derive(Debug)]
pub(crate) struct AddressFile {
    path: PathBuf,
}

impl AddressFile {
    /// Writes it, for the owner's eyes only. The directory's lock is the caller's.
    pub(crate) fn write(directory: &Path, address: &str, secret: &Secret) -> io::Result<AddressFile> {
        let (path, new) = (directory.join(FILE), directory.join(format!("{FILE}.tmp")));
        // Whatever is there has the rights that it was made with.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let document = json!({ "address": address, "secret": secret.0, "pid": std::process::id() });
        file.write_all(document.to_string().as_bytes())?;
        // Nobody reads half of it.
        fs::rename(&new, &path)?;
        Ok(AddressFile { path })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // One that stays is known as stale by the lock.
        let _ = fs::remove_file(&self.path);
    }
}

/// Shown by who asks.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// 256 random bits.
    pub(crate) fn new() -> io::Result<Secret> {
        let mut bytes = [0; 32];
        SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
        Ok(Secret(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// However much of it is right, it takes the same time.
    fn is_shown(&self, shown: &[u8]) -> bool {
        let expected = format!("Bearer {}", self.0);
        let differ = |(a, b): (&u8, &u8)| a ^ b;
        expected.len() == shown.len()
            && expected.as_bytes().iter().zip(shown).map(differ).fold(0, |all, one| all | one) == 0
    }
}

/// The jobs that run here, by their ids, which grow with time.
#[derive(Clone, Default)]
pub(crate) struct Jobs(Arc<Mutex<BTreeMap<String, JobHandle>>>);

impl Jobs {
    pub(crate) fn add(&self, job: JobHandle) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job.id().to_owned(), job);
    }

    pub(crate) fn remove(&self, job_id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(job_id);
    }

    /// The last one whose id begins so.
    fn find(&self, begin: &str) -> Result<JobHandle, Status> {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = jobs.iter().rev().find(|(id, _)| id.starts_with(begin)).map(|(_, job)| job.clone());
        found.ok_or_else(|| match begin {
            "" => Status::not_found("no job runs"),
            begin => Status::not_found(format!("no job \"{begin}\" runs")),
        })
    }
}

/// Answers for the jobs of a controller.
pub(crate) struct Service {
    pub(crate) jobs: Jobs,
    pub(crate) secret: Secret,
}

impl Service {
    /// What is asked, of which job, if the secret is right.
    fn admit<T>(&self, request: Request<T>, job: impl Fn(&T) -> &str) -> Result<(T, JobHandle), Status> {
        let shown = request.metadata().get("authorization").map(MetadataValue::as_bytes);
        if !shown.is_some_and(|shown| self.secret.is_shown(shown)) {
            return Err(Status::unauthenticated("the secret is not this controller's"));
        }
        let asked = request.into_inner();
        let job = self.jobs.find(job(&asked))?;
        Ok((asked, job))
    }
}

fn refused(failure: Failure) -> Status {
    let code = match failure.class {
        ErrorClass::User => Code::InvalidArgument,
        ErrorClass::Retryable => Code::Unavailable,
        ErrorClass::Fatal => Code::FailedPrecondition,
    };
    let mut status = Status::new(code, failure.message);
    if let Some(hint) = failure.hint.and_then(|hint| MetadataValue::try_from(hint).ok()) {
        status.metadata_mut().insert(HINT, hint);
    }
    status
}

#[tonic::async_trait]
impl asked::operator_server::Operator for Service {
    async fn savepoint(&self, request: Request<asked::SavepointRequest>) -> Result<Response<asked::Taken>, Status> {
        let (asked, job) = self.admit(request, |asked| &asked.job)?;
        let epoch = job.savepoint(&asked.name).await.map_err(refused)?;
        Ok(Response::new(asked::Taken { epoch }))
    }

    async fn checkpoint(&self, request: Request<asked::CheckpointRequest>) -> Result<Response<asked::Taken>, Status> {
        let (_, job) = self.admit(request, |asked| &asked.job)?;
        let epoch = job.checkpoint().await.map_err(refused)?;
        Ok(Response::new(asked::Taken { epoch }))
    }

    async fn stop(&self, request: Request<asked::StopRequest>) -> Result<Response<asked::Stopped>, Status> {
        let (asked, mut job) = self.admit(request, |asked| &asked.job)?;
        let mode = match asked.mode() {
            asked::StopMode::StopCheckpoint => StopMode::Checkpoint,
            asked::StopMode::StopGraceful => StopMode::Graceful,
            asked::StopMode::StopImmediate => StopMode::Immediate,
        };
        match asked.savepoint.as_str() {
            "" => job.stop(mode).await,
            name if mode == StopMode::Checkpoint => job.stop_with_savepoint(name).await.map_err(refused)?,
            _ => return Err(Status::invalid_argument("only a stop with a checkpoint can make a savepoint")),
        }
        let ended = job.ended().await;
        let savepoint = match (asked.savepoint.is_empty(), ended.savepoint) {
            (true, _) => None,
            (false, Some(saved)) => Some(saved.map_err(refused)?),
            (false, None) => {
                let message =
                    format!("there is no savepoint \"{}\": the job ended without another checkpoint", asked.savepoint);
                return Err(Status::failed_precondition(message));
            }
        };
        Ok(Response::new(asked::Stopped { state: ended.state.name().to_owned(), savepoint }))
    }

    async fn status(&self, request: Request<asked::StatusRequest>) -> Result<Response<asked::JobStatus>, Status> {
        let (_, job) = self.admit(request, |asked| &asked.job)?;
        let status = job.status().borrow().clone();
        Ok(Response::new(asked::JobStatus {
            job: job.id().to_owned(),
            state: status.state.name().to_owned(),
            generation: status.generation,
            restarts: status.restarts,
            epoch: status.checkpoint.map(|completed| completed.epoch),
            failure: status.failure.map(|failure| failure.message),
            tasks: status.progress.to_vec(),
        }))
    }
}

/// Asks the controller that runs on a state directory.
#[derive(Debug)]
pub struct Operator {
    client: OperatorClient<Channel>,
    authorization: MetadataValue<Ascii>,
    /// The beginning of a job's id.
    job: String,
}

#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error("no controller runs on \"{}\"", directory.display())]
    NoController { directory: PathBuf },
    #[error("cannot ask the controller of \"{}\": {reason}", directory.display())]
    Unreachable { directory: PathBuf, reason: String },
    /// It does not do what it was asked for.
    #[error("{message}")]
    Refused { message: String, hint: Option<String>, code: Code },
}

impl OperatorError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            OperatorError::NoController { .. } => Some("Start one with: streamwright run --state-dir."),
            OperatorError::Unreachable { .. } => None,
            OperatorError::Refused { hint, .. } => hint.as_deref(),
        }
    }

    /// What was asked for makes no sense, or nobody is there to ask.
    pub fn is_usage(&self) -> bool {
        match self {
            OperatorError::NoController { .. } => true,
            OperatorError::Unreachable { .. } => false,
            OperatorError::Refused { code, .. } => matches!(code, Code::InvalidArgument | Code::NotFound),
        }
    }
}

fn said(status: Status) -> OperatorError {
    let hint = status.metadata().get(HINT).and_then(|hint| hint.to_str().ok()).map(str::to_owned);
    OperatorError::Refused { message: status.message().to_owned(), hint, code: status.code() }
}

impl Operator {
    /// Connects to the controller of a state directory. `job` is the beginning of a job's id; empty: the one that was
    /// started last.
    ///
    /// # Errors
    /// When there is none, or it cannot be reached.
    pub async fn connect(directory: &Path, job: &str) -> Result<Operator, OperatorError> {
        let unreachable = |reason: String| OperatorError::Unreachable { directory: directory.to_owned(), reason };
        let none = || OperatorError::NoController { directory: directory.to_owned() };
        if !is_locked(directory).map_err(|error| unreachable(error.to_string()))? {
            return Err(none());
        }
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // It is just beginning, or ending.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none()),
            Err(error) => return Err(unreachable(format!("cannot read \"{}\": {error}", path.display()))),
        };
        let unreadable = || unreachable(format!("\"{}\" makes no sense", path.display()));
        let document: Value = serde_json::from_str(&text).map_err(|_| unreadable())?;
        let word = |name: &str| document[name].as_str().map(str::to_owned).ok_or_else(unreadable);
        let authorization = format!("Bearer {}", word("secret")?).try_into().map_err(|_| unreadable())?;
        let endpoint = Endpoint::from_shared(word("address")?).map_err(|_| unreadable())?;
        let channel = endpoint.connect_timeout(CONNECT_MOST).connect().await;
        let channel = channel.map_err(|error| unreachable(error.to_string()))?;
        Ok(Operator { client: OperatorClient::new(channel), authorization, job: job.to_owned() })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }

    /// A checkpoint now, under a name; its epoch.
    ///
    /// # Errors
    /// When the name is taken or is none, or the job cannot take a checkpoint.
    pub async fn savepoint(&mut self, name: &str) -> Result<u64, OperatorError> {
        let request = self.request(asked::SavepointRequest { job: self.job.clone(), name: name.to_owned() });
        Ok(self.client.savepoint(request).await.map_err(said)?.into_inner().epoch)
    }

    /// A checkpoint now; its epoch.
    ///
    /// # Errors
    /// When the job cannot take one.
    pub async fn checkpoint(&mut self) -> Result<u64, OperatorError> {
        let request = self.request(asked::CheckpointRequest { job: self.job.clone() });
        Ok(self.client.checkpoint(request).await.map_err(said)?.into_inner().epoch)
    }

    /// Stops the job, and waits until it has ended. The name is for the checkpoint that it is stopped with.
    ///
    /// # Errors
    /// When the name is taken or is none, or the savepoint cannot be made.
    pub async fn stop(&mut self, mode: StopMode, savepoint: Option<&str>) -> Result<asked::Stopped, OperatorError> {
        let mode = match mode {
            StopMode::Checkpoint => asked::StopMode::StopCheckpoint,
            StopMode::Graceful => asked::StopMode::StopGraceful,
            StopMode::Immediate => asked::StopMode::StopImmediate,
        };
        let savepoint = savepoint.unwrap_or_default().to_owned();
        let request = self.request(asked::StopRequest { job: self.job.clone(), mode: mode.into(), savepoint });
        Ok(self.client.stop(request).await.map_err(said)?.into_inner())
    }

    /// How the job is.
    ///
    /// # Errors
    /// When none runs.
    pub async fn status(&mut self) -> Result<asked::JobStatus, OperatorError> {
        let request = self.request(asked::StatusRequest { job: self.job.clone() });
        Ok(self.client.status(request).await.map_err(said)?.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::lock::StateLock;

    #[test]
    fn the_address_is_its_owners_and_goes_with_the_controller() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        fs::write(&path, "left behind").unwrap();
        let secret = Secret::new().unwrap();
        let file = AddressFile::write(directory.path(), "http://127.0.0.1:1", &secret).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let document: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((&document["address"], &document["secret"]), (&"http://127.0.0.1:1".into(), &secret.0.into()));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn only_the_whole_secret_is_the_secret() {
        let secret = Secret::new().unwrap();
        assert_eq!(secret.0.len(), 64);
        assert!(secret.is_shown(format!("Bearer {}", secret.0).as_bytes()));
        let other = Secret::new().unwrap();
        for wrong in ["", "Bearer ", secret.0.as_str(), &format!("Bearer {}", other.0), &format!("bearer {}", secret.0)]
        {
            assert!(!secret.is_shown(wrong.as_bytes()), "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_a_crash_has_left_is_no_controller() {
        let directory = tempfile::tempdir().unwrap();
        let none = format!("no controller runs on \"{}\"", directory.path().display());
        let refused = async || Operator::connect(directory.path(), "").await.unwrap_err().to_string();
        assert_eq!(refused().await, none);
        let document = json!({ "address": "http://127.0.0.1:1", "secret": "x" });
        fs::write(directory.path().join(FILE), document.to_string()).unwrap();
        assert_eq!(refused().await, none, "nobody has the lock");
        let _lock = StateLock::acquire(directory.path()).unwrap();
        assert!(refused().await.starts_with("cannot ask the controller of "));
        fs::write(directory.path().join(FILE), "{}").unwrap();
        assert!(refused().await.ends_with("makes no sense"));
        fs::remove_file(directory.path().join(FILE)).unwrap();
        assert_eq!(refused().await, none, "it is about to begin, or to end");
    }
}
