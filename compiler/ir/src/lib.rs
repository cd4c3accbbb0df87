//! The typed intermediate representation of a pipeline.
//!
//! ```text
//!  LogicalPlan ── lower ──▶ Plan (operators, a DAG) ── place ──▶ Graph (stages and exchanges) ── codegen ──▶ Rust
//! ```
//!
//! The IR is data. Nothing in it is text that a later pass would have to parse: types are [`ScalarType`],
//! expressions are [`Expr`], columns are indices into the schema of the operator's input. Both forms print
//! ([`print`]) in a stable text form, which is what golden tests hold and EXPLAIN shows, and both are checked
//! ([`verify`]): the verifier's documentation is the specification of the IR.
//!
//! **Where an expression runs** is decided when it is made. Everything but [`ExprKind::Kernel`] is *native*: code
//! generation fuses it into the stage's loop. A kernel call runs over a block of rows and may only stand at the
//! root of a column of [`Op::Compute`], with native arguments; the rest of the stage then sees an ordinary column.
//!
//! Not here: SQL, DataFusion, source text, Rust code, connector options' meaning (they are carried as JSON).

pub mod expr;
pub mod graph;
pub mod place;
pub mod plan;
pub mod print;
pub mod verify;

pub use expr::{BinaryOp, DateField, Expr, ExprKind, Literal, NativeFn, UnaryOp};
pub use graph::{Edge, Exchange, Graph, Phase, Stage, StageId, StageInput, StageOp, StageOpKind};
pub use plan::{
    Aggregate, AggregateFn, ChangelogMode, Column, JoinKind, KernelColumn, Node, NodeId, Op, Plan, SinkDef, SourceDef,
    SourceField, Tumble, Updating, WindowJoin, WindowPart,
};
pub use schema::{Changelog, Field, ScalarType, Schema, TimeUnit};
