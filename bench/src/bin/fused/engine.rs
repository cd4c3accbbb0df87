//! DataFusion on the same batches: one partition, the same batch size, plan made outside the clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use datafusion::catalog::MemTable;
use datafusion::execution::context::SessionContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use tokio::runtime::Runtime;

/// A query, ready to run.
pub(crate) struct Query {
    runtime: Runtime,
    session: SessionContext,
    sql: &'static str,
}

impl Query {
    pub(crate) fn new(sql: &'static str, batches: &[RecordBatch], batch_rows: usize) -> anyhow::Result<Query> {
        let config = SessionConfig::new().with_target_partitions(1).with_batch_size(batch_rows);
        let session = SessionContext::new_with_config(config);
        let table = MemTable::try_new(batches[0].schema(), vec![batches.to_vec()])?;
        session.register_table("bids", Arc::new(table))?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Query { runtime, session, sql })
    }

    fn plan(&self) -> anyhow::Result<Arc<dyn ExecutionPlan>> {
        let plan = async { self.session.sql(self.sql).await?.create_physical_plan().await };
        Ok(self.runtime.block_on(plan)?)
    }

    /// Runs it; the time and the number of result rows.
    pub(crate) fn run(&self) -> anyhow::Result<(Duration, usize)> {
        let plan = self.plan()?;
        let start = Instant::now();
        let rows = self.runtime.block_on(async {
            let mut stream = execute_stream(plan, self.session.task_ctx())?;
            let mut rows = 0;
            while let Some(batch) = futures::StreamExt::next(&mut stream).await {
                rows += batch?.num_rows();
            }
            anyhow::Ok(rows)
        })?;
        Ok((start.elapsed(), rows))
    }
}
