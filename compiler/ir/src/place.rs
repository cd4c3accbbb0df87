//! Placement: which operators are fused into one stage, and what flows between stages how.
//!
//! ```text
//!   source ─ watermark ─ filter ─ tumble ─ filter ─ sink
//!  ╰───────────── stage 0 ─────────────╯╰──── stage 1 ───╯
//!                     tumble (partial) ═▶ tumble (final)
//!                                   hash(keys)
//! ```
//!
//! A stage takes in operators as long as rows can stay in the task where they are. It ends
//!
//! * where several nodes consume what it emits: each begins a stage of its own, behind a forward edge;
//! * before a union, which begins a stage into which all its inputs flow;
//! * before a windowed join, which begins a stage with two ports: both inputs come by the hash of their keys;
//! * at an exchange. A tumble whose aggregates can be merged aggregates on both sides of it; any other sends its keys,
//!   event time and arguments, already computed, so that nothing else crosses, and so does an updating aggregate;
//! * before a sink that limits its tasks, unless the stage has but one task anyway.
//!
//! Invariant: the operators, names and numbers of the stages do not depend on `parallelism` or on a connector's options,
//! because they decide what is generated; only the stages' parallelism and the edges may.
//!
//! Not here: which worker runs a task, key ranges (the runtime's), predicate and projection push-down (the rules').

use schema::{Field, ScalarType, Schema};

use crate::expr::{Expr, ExprKind, Literal};
use crate::graph::{Edge, Exchange, Graph, Phase, Stage, StageId, StageInput, StageOp, StageOpKind};
use crate::plan::{Aggregate, Column, Node, Op, Plan, SinkDef, Tumble, Updating, WindowJoin};

/// Longest stage name that is made, before what makes it unique.
const NAME_CHARS: usize = 48;

/// Cuts a verified plan into stages of at most `parallelism` tasks.
pub fn place(plan: &Plan, parallelism: usize) -> Graph {
    let mut placer = Placer {
        parallelism: parallelism.max(1),
        consumers: plan.consumers(),
        graph: Graph::default(),
        one_task: Vec::new(),
        homes: Vec::new(),
    };
    for node in &plan.nodes {
        let home = placer.place(plan, node);
        placer.homes.push(home);
    }
    name_stages(&mut placer.graph);
    placer.graph
}

struct Placer {
    parallelism: usize,
    /// By node: how many inputs name it.
    consumers: Vec<usize>,
    graph: Graph,
    /// By stage: true when it has one task whatever the parallelism.
    one_task: Vec<bool>,
    /// By node: the stage that emits its rows.
    homes: Vec<StageId>,
}

impl Placer {
    fn place(&mut self, plan: &Plan, node: &Node) -> StageId {
        match &node.op {
            Op::Source(source) => self.begin(StageInput::Source(source.clone()), node.schema.clone(), false),
            Op::Union => self.union(node),
            Op::Sink(sink) => self.sink(plan, node, sink),
            Op::Tumble(tumble) => {
                let home = self.home(plan, node);
                self.tumble(home, tumble, &node.note)
            }
            Op::Watermark { expr } => self.append(plan, node, StageOpKind::Watermark { expr: expr.clone() }),
            Op::Filter { predicate } => self.append(plan, node, StageOpKind::Filter { predicate: predicate.clone() }),
            Op::Compute { columns } => self.append(plan, node, StageOpKind::Compute { columns: columns.clone() }),
            Op::Project { columns } => self.append(plan, node, StageOpKind::Project { columns: columns.clone() }),
            Op::Updating(updating) => {
                let home = self.home(plan, node);
                self.updating(home, updating, &node.note)
            }
            Op::WindowJoin(join) => self.window_join(plan, node, join),
        }
    }

    /// The stage that takes in the operator: its input's, or a new one behind it when others consume the input too.
    fn home(&mut self, plan: &Plan, node: &Node) -> StageId {
        let input = node.inputs[0];
        let from = self.homes[input.0];
        if self.consumers[input.0] == 1 {
            return from;
        }
        let one_task = self.one_task[from.0];
        let to = self.begin(StageInput::Edges, plan.node(input).schema.clone(), one_task);
        self.connect(from, to, 0, Exchange::Forward);
        to
    }

    fn append(&mut self, plan: &Plan, node: &Node, kind: StageOpKind) -> StageId {
        let home = self.home(plan, node);
        self.push(home, kind, node.schema.clone(), &node.note);
        home
    }

    fn tumble(&mut self, home: StageId, tumble: &Tumble, note: &str) -> StageId {
        let (before, after, phase) = if tumble.is_mergeable() {
            (StageOpKind::Tumble { tumble: tumble.clone(), phase: Phase::Partial }, tumble.clone(), Phase::Final)
        } else {
            let (columns, rest) = before_exchange(tumble);
            (StageOpKind::Project { columns }, rest, Phase::Single)
        };
        let sent = match &before {
            StageOpKind::Project { columns } => projected(columns),
            _ => tumble.partial_schema(),
        };
        self.push(home, before, sent.clone(), note);

        let to = self.exchange(home, sent, tumble.keys.len());
        self.push(to, StageOpKind::Tumble { tumble: after, phase }, tumble.output_schema(), note);
        to
    }

    fn updating(&mut self, home: StageId, updating: &Updating, note: &str) -> StageId {
        let (columns, after) = updating_before_exchange(updating);
        let sent = projected(&columns);
        self.push(home, StageOpKind::Project { columns }, sent.clone(), note);
        let to = self.exchange(home, sent, updating.keys.len());
        self.push(to, StageOpKind::Updating(after), updating.output_schema(), note);
        to
    }

    /// A new stage, to which rows come by their first columns, the keys.
    fn exchange(&mut self, from: StageId, sent: Schema, keys: usize) -> StageId {
        let one_task = keys == 0;
        let exchange = if one_task { Exchange::Gather } else { Exchange::Hash((0..keys).collect()) };
        let to = self.begin(StageInput::Edges, sent, one_task);
        self.connect(from, to, 0, exchange);
        to
    }

    /// Inputs of unequal parallelism can only meet in one task.
    fn union(&mut self, node: &Node) -> StageId {
        let homes: Vec<StageId> = node.inputs.iter().map(|input| self.homes[input.0]).collect();
        let one_task = homes.iter().any(|home| self.one_task[home.0]);
        let to = self.begin(StageInput::Edges, node.schema.clone(), one_task);
        for home in homes {
            let exchange = if one_task && !self.one_task[home.0] { Exchange::Gather } else { Exchange::Forward };
            self.connect(home, to, 0, exchange);
        }
        to
    }

    fn window_join(&mut self, plan: &Plan, node: &Node, join: &WindowJoin) -> StageId {
        let fields = node.inputs.iter().flat_map(|&input| plan.node(input).schema.fields.clone());
        let to = self.begin(StageInput::Edges, Schema::new(fields.collect()), false);
        for (port, input) in node.inputs.iter().enumerate() {
            let home = self.homes[input.0];
            self.connect(home, to, port, Exchange::Hash((0..join.hashed()).collect()));
        }
        self.push(to, StageOpKind::WindowJoin(join.clone()), node.schema.clone(), &node.note);
        to
    }

    fn sink(&mut self, plan: &Plan, node: &Node, sink: &SinkDef) -> StageId {
        let input = node.inputs[0];
        let from = self.homes[input.0];
        let limited = sink.max_parallelism.is_some() && !self.one_task[from.0];
        let home = if limited {
            let tasks = self.graph.stage(from).parallelism;
            let most = sink.max_parallelism.unwrap_or(tasks);
            let gather = most == 1 || most < tasks;
            let to = self.begin(StageInput::Edges, plan.node(input).schema.clone(), gather);
            self.connect(from, to, 0, if gather { Exchange::Gather } else { Exchange::Forward });
            to
        } else {
            self.home(plan, node)
        };
        self.graph.stages[home.0].sink = Some(sink.clone());
        home
    }

    fn begin(&mut self, input: StageInput, schema: Schema, one_task: bool) -> StageId {
        let id = StageId(self.graph.stages.len());
        self.graph.stages.push(Stage {
            id,
            name: String::new(),
            parallelism: if one_task { 1 } else { self.parallelism },
            input,
            input_schema: schema.clone(),
            ops: Vec::new(),
            output_schema: schema,
            sink: None,
        });
        self.one_task.push(one_task);
        id
    }

    fn connect(&mut self, from: StageId, to: StageId, port: usize, exchange: Exchange) {
        self.graph.edges.push(Edge { from, to, port, exchange });
    }

    fn push(&mut self, home: StageId, kind: StageOpKind, schema: Schema, note: &str) {
        let stage = &mut self.graph.stages[home.0];
        stage.output_schema = schema.clone();
        stage.ops.push(StageOp { kind, schema, note: note.to_owned() });
    }
}

fn projected(columns: &[Column]) -> Schema {
    Schema::new(
        columns.iter().map(|column| Field::new(&column.name, column.expr.ty.clone(), column.expr.nullable)).collect(),
    )
}

/// What a tumble needs of a row, computed before the exchange, and the tumble over that.
fn before_exchange(tumble: &Tumble) -> (Vec<Column>, Tumble) {
    let mut columns = tumble.keys.clone();
    let event_time = sent(&mut columns, "event_time".to_owned(), tumble.event_time.clone());
    let aggregates = sent_aggregates(&mut columns, &tumble.aggregates);
    let keys = sent_keys(&tumble.keys);
    let rest = Tumble { width: tumble.width, event_time, keys, aggregates, window: tumble.window.clone() };
    (columns, rest)
}

/// The same of an updating aggregate.
fn updating_before_exchange(updating: &Updating) -> (Vec<Column>, Updating) {
    let mut columns = updating.keys.clone();
    let aggregates = sent_aggregates(&mut columns, &updating.aggregates);
    if columns.is_empty() {
        // One column stays, so that rows do.
        let expr = Expr::literal(Literal::Bool(true), ScalarType::Bool);
        columns.push(Column { name: "row".to_owned(), expr });
    }
    (columns, Updating { keys: sent_keys(&updating.keys), aggregates, ttl: updating.ttl })
}

/// The keys are the first columns that are sent.
fn sent_keys(keys: &[Column]) -> Vec<Column> {
    let key = |(index, key): (usize, &Column)| Column {
        name: key.name.clone(),
        expr: Expr::column(index, key.expr.ty.clone(), key.expr.nullable),
    };
    keys.iter().enumerate().map(key).collect()
}

/// Adds what aggregates read of a row to what is sent.
fn sent_aggregates(columns: &mut Vec<Column>, aggregates: &[Aggregate]) -> Vec<Aggregate> {
    let aggregates = aggregates.iter().map(|aggregate| {
        let (arg, filter) = guarded(aggregate);
        Aggregate {
            arg: arg.map(|arg| sent(columns, aggregate.name.clone(), arg)),
            filter: filter.map(|filter| sent(columns, format!("{}_filter", aggregate.name), filter)),
            ..aggregate.clone()
        }
    });
    aggregates.collect()
}

/// Adds an expression to what is sent, unless it is there already, and names the column.
fn sent(columns: &mut Vec<Column>, name: String, expr: Expr) -> Expr {
    let (ty, nullable) = (expr.ty.clone(), expr.nullable);
    let index = columns.iter().position(|column| column.expr == expr).unwrap_or_else(|| {
        columns.push(Column { name, expr });
        columns.len() - 1
    });
    Expr::column(index, ty, nullable)
}

/// An argument that can fail is null where the filter is not true, so that it is evaluated for no other row.
/// All aggregates leave out nulls, so the filter has then done its work.
fn guarded(aggregate: &Aggregate) -> (Option<Expr>, Option<Expr>) {
    match (&aggregate.arg, &aggregate.filter) {
        (Some(arg), Some(filter)) if arg.is_fallible() => {
            let branches = vec![(filter.clone(), arg.clone())];
            let kind = ExprKind::Case { branches, otherwise: None };
            (Some(Expr { kind, ty: arg.ty.clone(), nullable: true }), None)
        }
        (arg, filter) => (arg.clone(), filter.clone()),
    }
}

// --- names ---------------------------------------------------------------------------------------------------------

fn name_stages(graph: &mut Graph) {
    let mut taken: Vec<String> = Vec::new();
    for index in 0..graph.stages.len() {
        let base = stage_name(&graph.stages[index]);
        let mut name = base.clone();
        let mut number = 2;
        while taken.contains(&name) {
            name = format!("{base}_{number}");
            number += 1;
        }
        taken.push(name.clone());
        graph.stages[index].name = name;
    }
}

/// `bids_by_auction`, `tumble_by_auction_to_totals`, `to_totals`: where rows come from, what they are
/// grouped by next, where they go.
fn stage_name(stage: &Stage) -> String {
    let mut parts: Vec<String> = Vec::new();
    match (&stage.input, stage.ops.first().map(|op| &op.kind)) {
        (StageInput::Source(source), _) => parts.push(source.table.clone()),
        (StageInput::Edges, Some(StageOpKind::Tumble { tumble, phase: Phase::Final | Phase::Single })) => {
            parts.push("tumble".to_owned());
            parts.push(by_keys(&tumble.keys));
        }
        (StageInput::Edges, Some(StageOpKind::WindowJoin(join))) => {
            parts.push("join".to_owned());
            parts.push(by_names(stage.input_schema.fields.iter().take(join.keys).map(|field| field.name.as_str())));
        }
        (StageInput::Edges, Some(StageOpKind::Updating(updating))) => {
            parts.push("updating".to_owned());
            parts.extend((!updating.keys.is_empty()).then(|| by_keys(&updating.keys)));
        }
        (StageInput::Edges, Some(StageOpKind::Filter { .. })) => parts.push("filter".to_owned()),
        (StageInput::Edges, Some(StageOpKind::Compute { .. })) => parts.push("compute".to_owned()),
        (StageInput::Edges, Some(StageOpKind::Project { .. })) => parts.push("project".to_owned()),
        (StageInput::Edges, Some(_)) => parts.push("rows".to_owned()),
        (StageInput::Edges, None) if stage.sink.is_none() => parts.push("rows".to_owned()),
        (StageInput::Edges, None) => {}
    }
    if let Some(StageOpKind::Tumble { tumble, phase: Phase::Partial }) = stage.ops.last().map(|op| &op.kind) {
        parts.push(by_keys(&tumble.keys));
    }
    if let Some(sink) = &stage.sink {
        parts.push(format!("to_{}", sink.table));
    }
    plain_name(&parts.join("_"))
}

fn by_keys(keys: &[Column]) -> String {
    by_names(keys.iter().map(|key| key.name.as_str()))
}

fn by_names<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let keys: Vec<&str> = keys.collect();
    if keys.is_empty() { "by_window".to_owned() } else { format!("by_{}", keys.join("_")) }
}

/// Lower case letters, digits and single underscores, not starting with a digit.
fn plain_name(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        let c = if c.is_ascii_alphanumeric() { c } else { '_' };
        if !(c == '_' && out.ends_with('_')) && out.len() < NAME_CHARS {
            out.push(c);
        }
    }
    let out = out.trim_matches('_');
    match out.chars().next() {
        None => "rows".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("_{out}"),
        Some(_) => out.to_owned(),
    }
}
