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
            mode: ChangelogMode::Append,
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
        let mode = self.plan.node(input).mode;
        self.plan.push(Node { op, inputs: vec![input], schema, event_time, mode, note: note.into() })
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

    pub(crate) fn updating(
        &mut self,
        input: NodeId,
        keys: Vec<(&str, Expr)>,
        aggregates: Vec<Aggregate>,
        note: &str,
    ) -> NodeId {
        let keys = keys.into_iter().map(|(name, expr)| Column { name: name.into(), expr }).collect();
        let updating = Updating { keys, aggregates, ttl: 3_600_000_000_000 };
        let (schema, mode) = (updating.output_schema(), ChangelogMode::Retract);
        let op = Op::Updating(updating);
        self.plan.push(Node { op, inputs: vec![input], schema, event_time: None, mode, note: note.into() })
    }

    pub(crate) fn union(&mut self, inputs: Vec<NodeId>) -> NodeId {
        let Node { schema, event_time, mode, .. } = self.plan.node(inputs[0]).clone();
        self.plan.push(Node { op: Op::Union, inputs, schema, event_time, mode, note: String::new() })
    }

    pub(crate) fn window_join(&mut self, join: WindowJoin, left: NodeId, right: NodeId, note: &str) -> NodeId {
        let fields = [left, right].into_iter().flat_map(|input| self.plan.node(input).schema.fields.clone());
        let schema = join.output_schema(&Schema::new(fields.collect()));
        let (inputs, mode, note) = (vec![left, right], ChangelogMode::Append, note.into());
        self.plan.push(Node { op: Op::WindowJoin(join), inputs, schema, event_time: None, mode, note })
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
        let changelog = self.plan.changelog(input);
        let sink = SinkDef { table, connector, options: serde_json::Value::Null, max_parallelism, changelog };
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
    let even = binary(BinaryOp::Equal, binary(BinaryOp::Remainder, b.col(bids, "auction"), int(2)), int(0));
    let channel =
        in_list(b.col(bids, "channel"), vec![Literal::Utf8("web".into()), Literal::Utf8("app".into())], false);
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

/// A tumble beside itself: what a window of an auction and those with more bids have in common.
pub(crate) fn joins() -> Plan {
    let mut b = Build::default();
    let bids = b.bids();
    let aggregates = vec![
        aggregate("bids", AggregateFn::Count, None, ScalarType::Int64),
        aggregate("total", AggregateFn::Sum, Some(b.col(bids, "price")), ScalarType::Int64),
    ];
    let (dt, auction) = (b.col(bids, "dt"), b.col(bids, "auction"));
    let totals = b.tumble(bids, 10, dt, vec![("auction", auction)], aggregates, "GROUP BY auction, tumble(10s)");
    let columns = vec![
        ("rival", b.col(totals, "auction")),
        ("rival_window", b.col(totals, "window")),
        ("rival_bids", b.col(totals, "bids")),
    ];
    let rivals = b.project(totals, columns, "SELECT auction, window, bids");
    let more = Expr::column(6, ScalarType::Int64, false);
    let join = WindowJoin {
        kind: JoinKind::Left,
        width: 10_000_000_000,
        keys: 1,
        left: 4,
        condition: Some(binary(BinaryOp::Less, b.col(totals, "bids"), more)),
        output: vec![0, 1, 3, 6],
    };
    let note = "LEFT JOIN rivals ON auction = rival AND window = rival_window AND bids < rival_bids";
    let joined = b.window_join(join, totals, rivals, note);
    let columns = vec![
        ("auction", b.col(joined, "auction")),
        ("start", member(b.col(joined, "window"), 0)),
        ("total", b.col(joined, "total")),
        ("more", b.col(joined, "rival_bids")),
    ];
    let projected = b.project(joined, columns, "SELECT auction, window.start, total, rival_bids");
    b.sink(projected, "out");
    b.plan
}

/// A column of each native function and operator, over nullable and other columns.
pub(crate) fn expressions() -> Plan {
    use NativeFn::*;
    use ScalarType::*;
    let mut b = Build::default();
    let micros = Timestamp { unit: TimeUnit::Microsecond, zone: None };
    let decimal = Decimal { precision: 10, scale: 2 };
    let point = Struct(vec![field("x", Float64, false), field("name", Utf8, true)]);
    let source = b.source(
        "things",
        vec![
            field("i", Int64, true),
            field("j", Int64, false),
            field("small", Int16, true),
            field("u", UInt32, true),
            field("f", Float64, true),
            field("g", Float32, false),
            field("flag", Bool, true),
            field("t", Utf8, true),
            field("s", Utf8, false),
            field("bytes", ScalarType::Binary, true),
            field("day", Date, true),
            field("at", micros.clone(), true),
            field("amount", decimal.clone(), true),
            field("point", point, true),
            field("tags", List(Box::new(Utf8)), true),
            field("type", Int32, true),
            field("x", Int32, true),
        ],
        None,
    );
    let c = |name: &str| b.col(source, name);
    let n = |function, args, ty| native(function, args, ty);
    let columns = vec![
        ("sum", binary(BinaryOp::Add, c("i"), c("j"))),
        ("difference", binary(BinaryOp::Subtract, int(10), c("j"))),
        ("quotient", binary(BinaryOp::Divide, c("i"), c("j"))),
        ("third", binary(BinaryOp::Divide, c("i"), int(3))),
        ("modulo", binary(BinaryOp::Remainder, c("j"), c("j"))),
        (
            "bits",
            binary(
                BinaryOp::BitXor,
                binary(BinaryOp::ShiftLeft, c("i"), int(3)),
                binary(BinaryOp::BitAnd, c("j"), int(255)),
            ),
        ),
        ("negated", unary(UnaryOp::Negate, binary(BinaryOp::Add, c("j"), int(i64::MIN)))),
        ("half", binary(BinaryOp::Multiply, c("f"), float(-0.5))),
        (
            "three_valued",
            binary(
                BinaryOp::Or,
                binary(BinaryOp::Greater, c("i"), int(1)),
                binary(BinaryOp::And, c("flag"), binary(BinaryOp::Less, c("f"), float(2.0))),
            ),
        ),
        (
            "two_valued",
            binary(
                BinaryOp::And,
                binary(BinaryOp::Greater, c("j"), int(1)),
                unary(UnaryOp::Not, binary(BinaryOp::Equal, c("s"), text("a\"b\u{202e}"))),
            ),
        ),
        ("missing", unary(UnaryOp::IsNull, c("point"))),
        ("present", unary(UnaryOp::IsNotNull, binary(BinaryOp::Add, c("i"), c("j")))),
        ("is_true", unary(UnaryOp::IsNotTrue, c("flag"))),
        ("is_false", unary(UnaryOp::IsFalse, binary(BinaryOp::Equal, c("j"), int(0)))),
        ("unlike", binary(BinaryOp::IsDistinctFrom, c("t"), c("s"))),
        ("alike", binary(BinaryOp::IsNotDistinctFrom, c("j"), int(4))),
        (
            "size",
            case(
                vec![(binary(BinaryOp::Greater, c("i"), int(100)), text("big")), (c("flag"), c("t"))],
                Some(text("small")),
            ),
        ),
        ("kind", case(vec![(binary(BinaryOp::Greater, c("j"), int(100)), int(1))], None)),
        ("simple", case(vec![(binary(BinaryOp::Greater, c("j"), int(100)), int(1))], Some(int(2)))),
        ("narrow", cast(c("i"), Int32, false)),
        ("maybe", cast(c("f"), Int64, true)),
        ("wide", cast(c("small"), Float64, false)),
        ("from_flag", cast(c("flag"), Int64, false)),
        ("to_flag", cast(c("j"), Bool, false)),
        ("seconds", cast(c("at"), Timestamp { unit: TimeUnit::Second, zone: Some("UTC".into()) }, false)),
        ("nanos", cast(c("at"), ScalarType::TIMESTAMP_NS, true)),
        ("on_day", cast(c("at"), Date, false)),
        ("midnight", cast(c("day"), ScalarType::TIMESTAMP_NS, false)),
        ("listed", in_list(c("i"), vec![Literal::Int(-1), Literal::Int(i64::MIN), Literal::Int(7)], true)),
        ("listed_sum", in_list(binary(BinaryOp::Add, c("i"), c("j")), vec![Literal::Int(1)], false)),
        ("listed_float", in_list(c("g"), vec![Literal::Float(0.1), Literal::Float(f64::NAN)], false)),
        ("listed_text", in_list(c("t"), vec![Literal::Utf8("a".into())], false)),
        ("listed_bytes", in_list(c("bytes"), vec![Literal::Binary(vec![0, 255])], false)),
        ("first", n(Coalesce, vec![c("i"), binary(BinaryOp::Divide, int(1), c("j")), int(0)], Int64)),
        ("first_text", n(Coalesce, vec![c("t"), text("none")], Utf8)),
        ("nothing", n(NullIf, vec![c("j"), int(0)], Int64)),
        ("most", n(Greatest, vec![c("i"), c("j"), int(5)], Int64)),
        ("least", n(Least, vec![c("t"), c("s")], Utf8)),
        ("magnitude", n(Abs, vec![c("small")], Int16)),
        ("root", n(Sqrt, vec![n(Floor, vec![c("f")], Float64)], Float64)),
        ("rounded", n(Round, vec![n(Trunc, vec![n(Ceil, vec![c("g")], Float32)], Float32)], Float32)),
        (
            "logs",
            n(
                Power,
                vec![
                    n(Ln, vec![n(Exp, vec![c("f")], Float64)], Float64),
                    n(Log2, vec![n(Log10, vec![float(10.0)], Float64)], Float64),
                ],
                Float64,
            ),
        ),
        ("length", n(CharLength, vec![c("t")], Int32)),
        ("bytes_length", n(OctetLength, vec![c("s")], Int32)),
        ("starts", n(StartsWith, vec![c("t"), c("s")], Bool)),
        ("ends", n(EndsWith, vec![c("s"), text("z")], Bool)),
        ("has", n(Contains, vec![c("s"), text("m")], Bool)),
        ("position", n(StrPos, vec![c("t"), text("x")], Int32)),
        ("tail", n(Substr, vec![c("t"), int(2)], Utf8)),
        ("middle", n(Substr, vec![c("t"), int(2), c("j")], Utf8)),
        ("left", n(Left, vec![c("s"), int(3)], Utf8)),
        (
            "right",
            n(Right, vec![n(Trim, vec![n(TrimStart, vec![n(TrimEnd, vec![c("s")], Utf8)], Utf8)], Utf8), c("i")], Utf8),
        ),
        ("part", n(SplitPart, vec![c("t"), text(","), int(1)], Utf8)),
        ("month_start", n(DateTrunc(DateField::Month), vec![c("at")], micros.clone())),
        ("week_start", n(DateTrunc(DateField::Week), vec![c("day")], Date)),
        ("day_itself", n(DateTrunc(DateField::Hour), vec![c("day")], Date)),
        ("year", n(DatePart(DateField::Year), vec![c("at")], Int32)),
        ("weekday", n(DatePart(DateField::DayOfWeek), vec![c("day")], Int32)),
        ("hour_of_day", n(DatePart(DateField::Hour), vec![c("day")], Int32)),
        ("epoch", n(DatePart(DateField::Epoch), vec![c("at")], Float64)),
        ("nanosecond", n(DatePart(DateField::Nanosecond), vec![c("at")], Int64)),
        ("later", n(AddNanos(90_000_000_000), vec![c("at")], micros)),
        ("point_x", member(c("point"), 0)),
        ("twice_x", binary(BinaryOp::Multiply, member(c("point"), 0), float(2.0))),
        ("name_missing", unary(UnaryOp::IsNull, member(c("point"), 1))),
        ("tags", c("tags")),
        ("dear", binary(BinaryOp::Greater, c("amount"), Expr::literal(Literal::Decimal(1000), decimal.clone()))),
        ("owed", unary(UnaryOp::Negate, c("amount"))),
        ("type", binary(BinaryOp::Add, c("type"), c("x"))),
        ("null_text", Expr::literal(Literal::Null, Utf8)),
        ("greeting", text("hello \u{202e}\\ \"world\"")),
        ("blob", Expr::literal(Literal::Binary(b"a\0b".to_vec()), ScalarType::Binary)),
        ("yes", Expr::literal(Literal::Bool(true), Bool)),
        ("real", Expr::literal(Literal::Float(f64::NEG_INFINITY), Float32)),
        ("an_hour", Expr::literal(Literal::Interval { months: 0, days: -1, nanos: 3_600_000_000_000 }, Interval)),
        ("a_list", Expr::literal(Literal::List(vec![Literal::Int(1), Literal::Null]), List(Box::new(Int64)))),
        ("a_struct", Expr::literal(Literal::Struct(vec![Literal::Int(1)]), Struct(vec![field("a", Int8, true)]))),
        ("epoch_start", Expr::literal(Literal::Int(0), ScalarType::TIMESTAMP_NS)),
    ];
    let projected = b.project(source, columns, "");
    // Again behind a filter with every kind of conjunct.
    let conjuncts = [
        binary(BinaryOp::Greater, binary(BinaryOp::Divide, int(10), b.col(source, "i")), int(1)),
        binary(BinaryOp::Greater, b.col(source, "i"), int(1)),
        binary(BinaryOp::Less, b.col(source, "f"), float(1.5)),
        binary(BinaryOp::Equal, b.col(source, "t"), text("t")),
        unary(UnaryOp::IsNotNull, b.col(source, "day")),
        b.col(source, "flag"),
    ];
    let predicate = conjuncts.into_iter().reduce(|left, right| binary(BinaryOp::And, left, right)).unwrap();
    let kept = b.filter(source, predicate, "");
    let more = b.filter(kept, binary(BinaryOp::Equal, member(b.col(kept, "point"), 1), text("p")), "");
    let columns = vec![
        ("i", b.col(more, "i")),
        ("point_name", member(b.col(more, "point"), 1)),
        ("ratio", binary(BinaryOp::Divide, b.col(more, "i"), b.col(more, "j"))),
        ("first", native(Substr, vec![b.col(more, "t"), int(1), int(1)], Utf8)),
        (
            "both",
            binary(
                BinaryOp::And,
                b.col(more, "flag"),
                binary(BinaryOp::Less, b.col(more, "u"), Expr::literal(Literal::UInt(7), UInt32)),
            ),
        ),
        (
            "bytes",
            native(
                Coalesce,
                vec![b.col(more, "bytes"), Expr::literal(Literal::Binary(vec![1]), ScalarType::Binary)],
                ScalarType::Binary,
            ),
        ),
        ("big", cast(b.col(more, "i"), Float64, false)),
    ];
    let narrowed = b.project(more, columns, "");
    b.sink(projected, "all");
    b.sink_with(narrowed, "some", "stdout", None);
    b.plan
}

/// Kernels with constants, computed arguments and guards, behind a filter.
pub(crate) fn kernels() -> Plan {
    let mut b = Build::default();
    let bids = b.bids();
    let kept = b.filter(bids, binary(BinaryOp::Greater, b.col(bids, "price"), int(100)), "WHERE price > 100");
    let shorter = native(NativeFn::Substr, vec![b.col(kept, "channel"), int(2)], ScalarType::Utf8);
    let replace = |arg: Expr| kernel("regexp_replace", vec![arg, text("a+"), text("b")], ScalarType::Utf8, true);
    let ratio = binary(BinaryOp::Divide, int(100), b.col(kept, "bidder"));
    let guard = binary(BinaryOp::NotEqual, b.col(kept, "bidder"), int(0));
    let columns = vec![
        ("upper", kernel("upper", vec![b.col(kept, "channel")], ScalarType::Utf8, true), None),
        ("replaced", replace(shorter), None),
        ("hex", kernel("to_hex", vec![ratio], ScalarType::Utf8, true), Some(guard)),
    ];
    let computed = b.compute(kept, columns);
    let again = kernel("reverse", vec![b.col(computed, "upper")], ScalarType::Utf8, true);
    let computed = b.compute(computed, vec![("reversed", again, None)]);
    let columns = ["auction", "replaced", "hex", "reversed"].map(|name| (name, b.col(computed, name)));
    let projected = b.project(computed, columns.into(), "SELECT auction, ...");
    b.sink(projected, "out");
    b.plan
}

/// One source into two tumbles, one of which is not mergeable, and a third without keys; their union into one sink.
pub(crate) fn branches() -> Plan {
    use ScalarType::*;
    let mut b = Build::default();
    let bids = b.bids();
    let decimal = Decimal { precision: 10, scale: 2 };
    let amount = b.project(
        bids,
        vec![
            ("auction", b.col(bids, "auction")),
            ("price", cast(b.col(bids, "price"), Int32, false)),
            ("channel", b.col(bids, "channel")),
            ("dt", b.col(bids, "dt")),
            ("f", cast(b.col(bids, "price"), Float64, false)),
            ("d", Expr::literal(Literal::Decimal(150), decimal.clone())),
        ],
        "SELECT ...",
    );
    let c = |b: &Build, name: &str| b.col(amount, name);
    let web = binary(BinaryOp::Equal, c(&b, "channel"), text("web"));
    let mut distinct = aggregate("n", AggregateFn::Count, Some(c(&b, "price")), Int64);
    distinct.distinct = true;
    let mut on_web = distinct.clone();
    (on_web.name, on_web.filter) = ("web".into(), Some(web.clone()));
    let mut ratio = aggregate("ratio", AggregateFn::Sum, None, Int64);
    ratio.arg = Some(binary(BinaryOp::Divide, int(1), b.col(amount, "auction")));
    ratio.filter = Some(web.clone());
    let key = native(NativeFn::Coalesce, vec![c(&b, "channel"), text("none")], Utf8);
    let time = c(&b, "dt");
    let by_channel = b.tumble(
        amount,
        60,
        time.clone(),
        vec![("channel", key.clone())],
        vec![distinct, on_web, ratio],
        "GROUP BY channel",
    );

    let mut filtered = aggregate("filtered", AggregateFn::Sum, Some(c(&b, "price")), Int64);
    filtered.filter = Some(web);
    let total = Decimal { precision: 20, scale: 2 };
    let mean = Decimal { precision: 14, scale: 6 };
    let aggregates = vec![
        aggregate("n", AggregateFn::Count, Some(c(&b, "channel")), Int64),
        aggregate("low", AggregateFn::Min, Some(c(&b, "price")), Int32),
        aggregate("high", AggregateFn::Max, Some(c(&b, "channel")), Utf8),
        aggregate("mean", AggregateFn::Avg, Some(c(&b, "f")), Float64),
        filtered,
        aggregate("owed", AggregateFn::Sum, Some(c(&b, "d")), total),
        aggregate("mean_owed", AggregateFn::Avg, Some(c(&b, "d")), mean),
    ];
    let length = native(NativeFn::CharLength, vec![c(&b, "channel")], Int32);
    let keys = vec![("auction", c(&b, "auction")), ("length", length)];
    let by_length = b.tumble(amount, 60, time.clone(), keys, aggregates, "GROUP BY auction, length(channel)");
    let alone = b.tumble(amount, 60, time, vec![], vec![aggregate("n", AggregateFn::Count, None, Int64)], "");

    let only_n = |b: &mut Build, node| {
        let columns = vec![("start", member(b.col(node, "window"), 0)), ("n", b.col(node, "n"))];
        b.project(node, columns, "SELECT window.start, n")
    };
    let inputs = vec![only_n(&mut b, by_channel), only_n(&mut b, by_length), only_n(&mut b, alone)];
    let all = b.union(inputs);
    b.sink_with(all, "totals", "stdout", Some(3));
    b.plan
}

/// Aggregates without a window: by keys, with a HAVING; of all rows; and of keys alone.
pub(crate) fn updating() -> Plan {
    use ScalarType::*;
    let mut b = Build::default();
    let bids = b.bids();
    let decimal = Decimal { precision: 10, scale: 2 };
    let rows = b.project(
        bids,
        vec![
            ("auction", b.col(bids, "auction")),
            ("price", b.col(bids, "price")),
            ("channel", b.col(bids, "channel")),
            ("d", Expr::literal(Literal::Decimal(150), decimal)),
        ],
        "SELECT ...",
    );
    let c = |b: &Build, name: &str| b.col(rows, name);
    let mut on_web = aggregate("web", AggregateFn::Count, None, Int64);
    on_web.filter = Some(binary(BinaryOp::Equal, c(&b, "channel"), text("web")));
    let aggregates = vec![
        aggregate("n", AggregateFn::Count, None, Int64),
        aggregate("total", AggregateFn::Sum, Some(c(&b, "price")), Int64),
        aggregate("last", AggregateFn::Max, Some(c(&b, "channel")), Utf8),
        aggregate("mean_owed", AggregateFn::Avg, Some(c(&b, "d")), Decimal { precision: 14, scale: 6 }),
        on_web,
    ];
    let length = native(NativeFn::CharLength, vec![c(&b, "channel")], Int32);
    let keys = vec![("auction", c(&b, "auction")), ("length", length)];
    let by_auction = b.updating(rows, keys, aggregates, "GROUP BY auction, length(channel)");
    let often = b.filter(by_auction, binary(BinaryOp::Greater, b.col(by_auction, "n"), int(1)), "HAVING count(*) > 1");
    let retract = Changelog::retract_field().name;
    let columns = [retract.as_str(), "total", "last", "mean_owed", "web", "auction", "length"];
    let columns = columns.map(|name| (name, b.col(often, name))).to_vec();
    let projected = b.project(often, columns, "SELECT total, ...");
    b.sink_with(projected, "totals", "stdout", Some(3));

    let all = b.updating(rows, vec![], vec![aggregate("n", AggregateFn::Count, None, Int64)], "SELECT count(*)");
    b.sink(all, "all_bids");

    let seen = b.updating(rows, vec![("channel", c(&b, "channel"))], vec![], "GROUP BY channel");
    b.sink_with(seen, "channels", "stdout", None);
    b.plan
}
