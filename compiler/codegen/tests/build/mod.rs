//! Plans written by hand, as the front end would make them.

use compiler_ir::*;

pub(crate) fn field(name: &str, ty: ScalarType, nullable: bool) -> Field {
    Field::new(name, ty, nullable)
}

pub(crate) fn int(value: i64) -> Expr {
    Expr::literal(Literal::Int(value), ScalarType::Int64)
}

pub(crate) fn float(value: f64) -> Expr {
    Expr::literal(Literal::Float(value), ScalarType::Float64)
}

pub(crate) fn text(value: &str) -> Expr {
    Expr::literal(Literal::Utf8(value.into()), ScalarType::Utf8)
}

pub(crate) fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let ty = if op.is_arithmetic() || op.is_bitwise() { left.ty.clone() } else { ScalarType::Bool };
    let distinct = matches!(op, BinaryOp::IsDistinctFrom | BinaryOp::IsNotDistinctFrom);
    let nullable = !distinct && (left.nullable || right.nullable);
    Expr { kind: ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, ty, nullable }
}

pub(crate) fn unary(op: UnaryOp, arg: Expr) -> Expr {
    let ty = if op == UnaryOp::Negate { arg.ty.clone() } else { ScalarType::Bool };
    let nullable = arg.nullable && matches!(op, UnaryOp::Not | UnaryOp::Negate);
    Expr { kind: ExprKind::Unary { op, arg: Box::new(arg) }, ty, nullable }
}

pub(crate) fn native(function: NativeFn, args: Vec<Expr>, ty: ScalarType) -> Expr {
    let nullable = match function {
        NativeFn::NullIf => true,
        function if function.is_strict() => args.iter().any(|arg| arg.nullable),
        _ => args.iter().all(|arg| arg.nullable),
    };
    Expr { kind: ExprKind::Native { function, args }, ty, nullable }
}

pub(crate) fn cast(arg: Expr, ty: ScalarType, or_null: bool) -> Expr {
    let nullable = arg.nullable || (or_null && !compiler_ir::expr::cast_always_fits(&arg.ty, &ty));
    Expr { kind: ExprKind::Cast { arg: Box::new(arg), fallible_as_null: or_null }, ty, nullable }
}

pub(crate) fn case(branches: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Expr {
    let ty = branches[0].1.ty.clone();
    let nullable = branches.iter().any(|(_, then)| then.nullable) || otherwise.as_ref().is_none_or(|e| e.nullable);
    Expr { kind: ExprKind::Case { branches, otherwise: otherwise.map(Box::new) }, ty, nullable }
}

pub(crate) fn in_list(arg: Expr, items: Vec<Literal>, negated: bool) -> Expr {
    let nullable = arg.nullable;
    Expr { kind: ExprKind::InList { arg: Box::new(arg), items, negated }, ty: ScalarType::Bool, nullable }
}

pub(crate) fn kernel(name: &str, args: Vec<Expr>, ty: ScalarType, nullable: bool) -> Expr {
    Expr { kind: ExprKind::Kernel { name: name.into(), args }, ty, nullable }
}

pub(crate) fn member(base: Expr, index: usize) -> Expr {
    let ScalarType::Struct(fields) = &base.ty else { panic!("{base:?} is no struct") };
    let (ty, nullable) = (fields[index].ty.clone(), base.nullable || fields[index].nullable);
    Expr { kind: ExprKind::Field { base: Box::new(base), index }, ty, nullable }
}

pub(crate) fn aggregate(name: &str, function: AggregateFn, arg: Option<Expr>, ty: ScalarType) -> Aggregate {
    Aggregate { name: name.into(), function, arg, distinct: false, filter: None, ty }
}

/// Adds nodes to a plan, each with the schema that it has by its operator.
#[derive(Default)]
pub(crate) struct Build {
    pub(crate) plan: Plan,
}

impl Build {
    pub(crate) fn source(&mut self, table: &str, fields: Vec<Field>, event_time: Option<usize>) -> NodeId {
        let source = SourceDef {
            table: table.into(),
            connector: "nexmark".into(),
            options: serde_json::Value::Null,
            fields: fields.iter().map(|field| SourceField { field: field.clone(), metadata: None }).collect(),
            idle_micros: None,
        };
        self.plan.push(Node {
            op: Op::Source(source),
            inputs: vec![],
            schema: Schema::new(fields),
            event_time,
            note: String::new(),
        })
    }

    /// The column of a node's output.
    pub(crate) fn col(&self, node: NodeId, name: &str) -> Expr {
        let schema = &self.plan.node(node).schema;
        let index = schema.index_of(name).unwrap_or_else(|| panic!("no {name} in {schema}"));
        let field = &schema.fields[index];
        Expr::column(index, field.ty.clone(), field.nullable)
    }

    fn push(&mut self, op: Op, input: NodeId, schema: Schema, event_time: Option<usize>, note: &str) -> NodeId {
        self.plan.push(Node { op, inputs: vec![input], schema, event_time, note: note.into() })
    }

    pub(crate) fn watermark(&mut self, input: NodeId, expr: Expr, note: &str) -> NodeId {
        let Node { schema, event_time, .. } = self.plan.node(input).clone();
        self.push(Op::Watermark { expr }, input, schema, event_time, note)
    }

    pub(crate) fn filter(&mut self, input: NodeId, predicate: Expr, note: &str) -> NodeId {
        let Node { schema, event_time, .. } = self.plan.node(input).clone();
        self.push(Op::Filter { predicate }, input, schema, event_time, note)
    }

    pub(crate) fn compute(&mut self, input: NodeId, columns: Vec<(&str, Expr, Option<Expr>)>) -> NodeId {
        let Node { mut schema, event_time, .. } = self.plan.node(input).clone();
        schema.fields.extend(columns.iter().map(|(name, call, _)| field(name, call.ty.clone(), call.nullable)));
        let columns = columns.into_iter().map(|(name, call, guard)| KernelColumn { name: name.into(), call, guard });
        let columns = columns.collect();
        self.push(Op::Compute { columns }, input, schema, event_time, "")
    }

    pub(crate) fn project(&mut self, input: NodeId, columns: Vec<(&str, Expr)>, note: &str) -> NodeId {
        let fields = columns.iter().map(|(name, expr)| field(name, expr.ty.clone(), expr.nullable)).collect();
        let columns = columns.into_iter().map(|(name, expr)| Column { name: name.into(), expr }).collect();
        self.push(Op::Project { columns }, input, Schema::new(fields), None, note)
    }

    pub(crate) fn tumble(
        &mut self,
        input: NodeId,
        seconds: i64,
        event_time: Expr,
        keys: Vec<(&str, Expr)>,
        aggregates: Vec<Aggregate>,
        note: &str,
    ) -> NodeId {
        let keys = keys.into_iter().map(|(name, expr)| Column { name: name.into(), expr }).collect();
        let width = seconds * 1_000_000_000;
        let tumble = Tumble { width, event_time, keys, aggregates, window: "window".into() };
        let schema = tumble.output_schema();
        self.push(Op::Tumble(tumble), input, schema, None, note)
    }

    pub(crate) fn union(&mut self, inputs: Vec<NodeId>) -> NodeId {
        let Node { schema, event_time, .. } = self.plan.node(inputs[0]).clone();
        self.plan.push(Node { op: Op::Union, inputs, schema, event_time, note: String::new() })
    }

    pub(crate) fn sink(&mut self, input: NodeId, table: &str) -> NodeId {
        self.sink_with(input, table, "stdout", Some(1))
    }

    pub(crate) fn sink_with(
        &mut self,
        input: NodeId,
        table: &str,
        connector: &str,
        max_parallelism: Option<usize>,
    ) -> NodeId {
        let (table, connector) = (table.into(), connector.into());
        let sink = SinkDef { table, connector, options: serde_json::Value::Null, max_parallelism };
        self.push(Op::Sink(sink), input, Schema::default(), None, "")
    }

    /// `bids(auction, bidder, price, channel?, dt)` with a watermark that is 5 seconds behind.
    pub(crate) fn bids(&mut self) -> NodeId {
        let fields = vec![
            field("auction", ScalarType::Int64, false),
            field("bidder", ScalarType::Int64, false),
            field("price", ScalarType::Int64, false),
            field("channel", ScalarType::Utf8, true),
            field("dt", ScalarType::TIMESTAMP_NS, false),
        ];
        let source = self.source("bids", fields, Some(4));
        let late = native(NativeFn::AddNanos(-5_000_000_000), vec![self.col(source, "dt")], ScalarType::TIMESTAMP_NS);
        self.watermark(source, late, "WATERMARK FOR dt AS dt - INTERVAL '5 seconds'")
    }
}

/// Filter and project over bids.
pub(crate) fn filter_project() -> Plan {
    let mut b = Build::default();
    let bids = b.bids();
    let over = binary(BinaryOp::Greater, b.col(bids, "price"), int(100));
    let even = binary(
        BinaryOp::Equal,
        binary(BinaryOp::Remainder, b.col(bids, "auction"), int(2)),
        int(0),
    );
    let channel = in_list(b.col(bids, "channel"), vec![Literal::Utf8("web".into()), Literal::Utf8("app".into())], false);
    let predicate = binary(BinaryOp::And, binary(BinaryOp::And, over, channel), even);
    let kept = b.filter(bids, predicate, "WHERE price > 100 AND channel IN ('web', 'app') AND auction % 2 = 0");
    let euros = binary(BinaryOp::Multiply, cast(b.col(kept, "price"), ScalarType::Float64, false), float(0.908));
    let channel = native(NativeFn::Coalesce, vec![b.col(kept, "channel"), text("none")], ScalarType::Utf8);
    let columns = vec![("auction", b.col(kept, "auction")), ("euros", euros), ("channel", channel)];
    let projected = b.project(kept, columns, "SELECT auction, price * 0.908 AS euros, coalesce(channel, 'none')");
    b.sink(projected, "out");
    b.plan
}

/// The sample: a filtered tumble with count and sum by auction, and a HAVING.
pub(crate) fn sample() -> Plan {
    let mut b = Build::default();
    let bids = b.bids();
    let predicate = binary(BinaryOp::Greater, b.col(bids, "price"), int(100));
    let kept = b.filter(bids, predicate, "WHERE price > 100");
    let aggregates = vec![
        aggregate("bids", AggregateFn::Count, None, ScalarType::Int64),
        aggregate("total", AggregateFn::Sum, Some(b.col(kept, "price")), ScalarType::Int64),
        aggregate("channel", AggregateFn::Max, Some(b.col(kept, "channel")), ScalarType::Utf8),
    ];
    let (dt, auction) = (b.col(kept, "dt"), b.col(kept, "auction"));
    let note = "GROUP BY tumble(INTERVAL '10 seconds'), auction";
    let totals = b.tumble(kept, 10, dt, vec![("auction", auction)], aggregates, note);
    let having = binary(BinaryOp::GreaterOrEqual, b.col(totals, "bids"), int(2));
    let kept = b.filter(totals, having, "HAVING count(*) >= 2");
    let columns = vec![
        ("auction", b.col(kept, "auction")),
        ("start", member(b.col(kept, "window"), 0)),
        ("bids", b.col(kept, "bids")),
        ("mean", {
            let count = cast(b.col(kept, "bids"), ScalarType::Float64, false);
            binary(BinaryOp::Divide, cast(b.col(kept, "total"), ScalarType::Float64, false), count)
        }),
        ("channel", b.col(kept, "channel")),
    ];
    let projected = b.project(kept, columns, "SELECT auction, window.start, count(*), avg(price), max(channel)");
    b.sink(projected, "out");
    b.plan
}
