//! The gRPC server that workers attach to.
//!
//! A worker opens one stream for its whole life, beginning with Register. The server finds the job's loop and becomes a
//! pipe: what the worker says goes into the loop's queue with the worker's generation on it, what the loop says goes
//! back. Whether anybody listens to that generation is the state machine's business.
//!
//! Invariants: a stream that does not begin with a Register for a job of this controller is refused; the end of a
//! stream is always reported; a worker that talks faster than the loop listens is slowed by its own stream.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;
use protocol::operator::operator_server::OperatorServer;
use protocol::rpc;
use protocol::rpc::controller_server::ControllerServer;
use protocol::rpc::worker_message::Message;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::operator;

/// Messages to a worker that it has not read yet.
const OUTBOUND_MESSAGES: usize = 16;
/// From the opening of a stream to its Register.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the last answers.
const CLOSE_MOST: Duration = Duration::from_secs(1);

/// What is said to a worker. Dropping it closes the worker's stream, from this side.
pub type Outbound = mpsc::Sender<Result<rpc::ControllerMessage, Status>>;

/// What reaches a job's loop from its workers.
#[derive(Debug)]
pub enum Attachment {
    Attached { register: rpc::Register, outbound: Outbound },
    Said { worker_id: String, generation: u64, message: Message },
    Detached { worker_id: String, generation: u64 },
}

/// The queues of the jobs that run here, by job id.
#[derive(Clone, Default)]
pub struct Registry {
    jobs: Arc<Mutex<HashMap<String, mpsc::Sender<Attachment>>>>,
}

impl Registry {
    /// From here on, what workers of that job say goes into this queue.
    pub fn add(&self, job_id: &str, queue: mpsc::Sender<Attachment>) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(job_id.to_string(), queue);
    }

    /// From here on, workers of that job are refused.
    pub fn remove(&self, job_id: &str) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(job_id);
    }

    fn find(&self, job_id: &str) -> Option<mpsc::Sender<Attachment>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).get(job_id).cloned()
    }
}

/// A server that listens. Dropping it closes it and every stream.
pub struct Server {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Takes no more requests, and gives those that are under way a moment to be answered.
    pub(crate) async fn close(mut self) {
        self.stop = None;
        let _ = tokio::time::timeout(CLOSE_MOST, &mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens on a free port of the loopback interface, for workers alone.
///
/// # Errors
/// When there is none.
pub async fn start(registry: Registry) -> std::io::Result<Server> {
    listen_for(registry, None).await
}

/// As [`start`]; people can ask, too.
pub(crate) async fn listen_for(registry: Registry, people: Option<operator::Service>) -> std::io::Result<Server> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let service = ControllerServer::new(Service { registry });
    let task = tokio::spawn(async move {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let shutdown = async {
            let _ = stopped.await;
        };
        let served = tonic::transport::Server::builder()
            .add_service(service)
            .add_optional_service(people.map(OperatorServer::new))
            .serve_with_incoming_shutdown(incoming, shutdown)
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the server for workers has ended");
        }
    });
    Ok(Server { address, stop: Some(stop), task })
}

struct Service {
    registry: Registry,
}

#[tonic::async_trait]
impl rpc::controller_server::Controller for Service {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<rpc::ControllerMessage, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<rpc::WorkerMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(REGISTER_TIMEOUT, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("the worker did not register"))??;
        let Some(Message::Register(register)) = first.and_then(|first| first.message) else {
            return Err(Status::invalid_argument("the first message must be Register"));
        };
        if register.protocol_version != protocol::VERSION {
            return Err(Status::failed_precondition(format!(
                "the worker speaks version {} of the protocol, the controller version {}",
                register.protocol_version,
                protocol::VERSION
            )));
        }
        let Some(job) = self.registry.find(&register.job_id) else {
            return Err(Status::not_found(format!("job \"{}\" does not run here", register.job_id)));
        };
        let (outbound, messages) = mpsc::channel(OUTBOUND_MESSAGES);
        let (worker_id, generation) = (register.worker_id.clone(), register.generation);
        let gone = || Status::not_found("the job has ended");
        job.send(Attachment::Attached { register, outbound }).await.map_err(|_| gone())?;
        tokio::spawn(listen(inbound, job, worker_id, generation));
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

/// Carries a worker's words to its job until either of them is gone.
async fn listen(
    mut inbound: Streaming<rpc::WorkerMessage>,
    job: mpsc::Sender<Attachment>,
    worker_id: String,
    generation: u64,
) {
    while let Ok(Some(message)) = inbound.message().await {
        let Some(message) = message.message else { continue };
        if job.send(Attachment::Said { worker_id: worker_id.clone(), generation, message }).await.is_err() {
            return;
        }
    }
    let _ = job.send(Attachment::Detached { worker_id, generation }).await;
}
