//! The sink that drops its rows, for measuring what comes before it.
//!
//! It counts nothing itself: the task's own counters say how many rows came.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

use connectors_options::blackhole::BlackholeSink;
use futures::future::BoxFuture;
use worker_lib::connector::{ConnectorDef, Sink, SinkContext};
use worker_lib::{Batch, TaskError};

pub static BLACKHOLE_SINK: ConnectorDef = ConnectorDef { name: "blackhole", source: None, sink: Some(new) };

fn new(cx: SinkContext) -> Result<Box<dyn Sink>, TaskError> {
    let BlackholeSink {} = serde_json::from_value(cx.options)
        .map_err(|error| TaskError::fatal(format!("cannot read the options of table \"{}\": {error}", cx.table)))?;
    Ok(Box::new(Blackhole))
}

struct Blackhole;

impl Sink for Blackhole {
    fn write(&mut self, _batch: Batch) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn flush(&mut self) -> BoxFuture<'_, Result<(), TaskError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn prepare(&mut self) -> BoxFuture<'_, Result<Option<serde_json::Value>, TaskError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
