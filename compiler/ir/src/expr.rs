//! Scalar expressions over the columns of one relation.

use schema::ScalarType;
use serde::{Deserialize, Serialize};

/// An expression, its type, and whether it can be null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expr {
    pub kind: ExprKind,
    pub ty: ScalarType,
    pub nullable: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExprKind {
    /// Index into the input relation's schema.
    Column(usize),
    /// A member of a struct; null where the struct is.
    Field {
        base: Box<Expr>,
        index: usize,
    },
    Literal(Literal),
    Unary {
        op: UnaryOp,
        arg: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// The value of the first branch whose condition is true, else `otherwise`, else null.
    Case {
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    /// Conversion between numbers, booleans, dates and timestamps. A value that does not fit is an error, or null
    /// when `fallible_as_null` (`TRY_CAST`).
    Cast {
        arg: Box<Expr>,
        fallible_as_null: bool,
    },
    /// Whether `arg` equals one of `items` (none of them null).
    InList {
        arg: Box<Expr>,
        items: Vec<Literal>,
        negated: bool,
    },
    Native {
        function: NativeFn,
        args: Vec<Expr>,
    },
    /// A block kernel of the `kernels` crate, by its registered name. Only at the root of a computed column.
    Kernel {
        name: String,
        args: Vec<Expr>,
    },
}

/// A constant. Its [`Expr`] has the type: dates, times, timestamps and durations are `Int` in their own unit,
/// decimals are the unscaled number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Decimal(i128),
    Utf8(String),
    Binary(Vec<u8>),
    Interval { months: i32, days: i32, nanos: i64 },
    List(Vec<Literal>),
    Struct(Vec<Literal>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnaryOp {
    Not,
    Negate,
    IsNull,
    IsNotNull,
    IsTrue,
    IsNotTrue,
    IsFalse,
    IsNotFalse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    IsDistinctFrom,
    IsNotDistinctFrom,
    And,
    Or,
}

impl BinaryOp {
    pub fn is_arithmetic(self) -> bool {
        use BinaryOp::*;
        matches!(self, Add | Subtract | Multiply | Divide | Remainder)
    }

    pub fn is_bitwise(self) -> bool {
        use BinaryOp::*;
        matches!(self, BitAnd | BitOr | BitXor | ShiftLeft | ShiftRight)
    }

    /// Comparisons that are null when a side is.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual)
    }

    pub const ALL: [BinaryOp; 20] = {
        use BinaryOp::*;
        [
            Add,
            Subtract,
            Multiply,
            Divide,
            Remainder,
            BitAnd,
            BitOr,
            BitXor,
            ShiftLeft,
            ShiftRight,
            Equal,
            NotEqual,
            Less,
            LessOrEqual,
            Greater,
            GreaterOrEqual,
            IsDistinctFrom,
            IsNotDistinctFrom,
            And,
            Or,
        ]
    };

    /// The kernel that does the same, for types that native code lacks.
    pub fn kernel(self) -> &'static str {
        match self {
            BinaryOp::Add => "op_add",
            BinaryOp::Subtract => "op_subtract",
            BinaryOp::Multiply => "op_multiply",
            BinaryOp::Divide => "op_divide",
            BinaryOp::Remainder => "op_remainder",
            BinaryOp::BitAnd => "op_bitand",
            BinaryOp::BitOr => "op_bitor",
            BinaryOp::BitXor => "op_bitxor",
            BinaryOp::ShiftLeft => "op_shl",
            BinaryOp::ShiftRight => "op_shr",
            BinaryOp::Equal => "op_eq",
            BinaryOp::NotEqual => "op_neq",
            BinaryOp::Less => "op_lt",
            BinaryOp::LessOrEqual => "op_lteq",
            BinaryOp::Greater => "op_gt",
            BinaryOp::GreaterOrEqual => "op_gteq",
            BinaryOp::IsDistinctFrom => "op_is_distinct_from",
            BinaryOp::IsNotDistinctFrom => "op_is_not_distinct_from",
            BinaryOp::And => "op_and",
            BinaryOp::Or => "op_or",
        }
    }

    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Remainder => "%",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitOr => "|",
            BinaryOp::BitXor => "#",
            BinaryOp::ShiftLeft => "<<",
            BinaryOp::ShiftRight => ">>",
            BinaryOp::Equal => "=",
            BinaryOp::NotEqual => "<>",
            BinaryOp::Less => "<",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::IsDistinctFrom => "IS DISTINCT FROM",
            BinaryOp::IsNotDistinctFrom => "IS NOT DISTINCT FROM",
            BinaryOp::And => "AND",
            BinaryOp::Or => "OR",
        }
    }
}

/// Functions that are generated into the stage's loop. All are null when an argument is, but for `Coalesce`,
/// `NullIf`, `Greatest` and `Least`. The same functions with other argument types go through kernels.
///
/// Text is UTF-8; positions and lengths count characters, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NativeFn {
    /// First argument that is not null. Any number of arguments of the result's type.
    Coalesce,
    /// Null when both are equal, else the first.
    NullIf,
    /// Largest argument that is not null.
    Greatest,
    /// Smallest argument that is not null.
    Least,

    /// `T -> T`, numbers. The smallest integer wraps.
    Abs,
    /// `f -> f`, floats, as are the next.
    Ceil,
    Floor,
    Round,
    Trunc,
    Sqrt,
    Exp,
    Ln,
    Log2,
    Log10,
    /// `(f64, f64) -> f64`
    Power,

    /// `text -> Int32`: characters.
    CharLength,
    /// `text -> Int32`: bytes.
    OctetLength,
    /// `(text, text) -> Bool`
    StartsWith,
    EndsWith,
    Contains,
    /// `(text, text) -> Int32`: 1-based character position, 0 when absent.
    StrPos,
    /// `(text, i64) -> text`, `(text, i64, i64) -> text`, as PostgreSQL's `substr`.
    Substr,
    /// `(text, i64) -> text`; a negative count leaves out as many characters of the other end.
    Left,
    Right,
    /// `text -> text`: without surrounding spaces.
    Trim,
    TrimStart,
    TrimEnd,
    /// `(text, text, i64) -> text`: n-th field; a negative n counts from the end.
    SplitPart,

    /// `Timestamp|Date -> same`: start of the unit that holds it.
    DateTrunc(DateField),
    /// `Timestamp|Date -> Int32` (`Int64` for `Nanosecond`, `Float64` for `Epoch`).
    DatePart(DateField),
    /// `Timestamp -> same`: plus that many nanoseconds, rounded down to its unit.
    AddNanos(i64),
}

impl NativeFn {
    /// Null exactly when some argument is.
    pub fn is_strict(self) -> bool {
        !matches!(self, NativeFn::Coalesce | NativeFn::NullIf | NativeFn::Greatest | NativeFn::Least)
    }
}

/// Field of a date or timestamp, in the proleptic Gregorian calendar, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateField {
    Year,
    Quarter,
    Month,
    /// ISO 8601 week; starts on Monday.
    Week,
    Day,
    /// Sunday is 0.
    DayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    /// Seconds since the Unix epoch.
    Epoch,
}

impl DateField {
    /// By its name in SQL, in any case.
    pub fn by_name(name: &str) -> Option<DateField> {
        Some(match name.to_lowercase().as_str() {
            "year" => DateField::Year,
            "quarter" | "qtr" => DateField::Quarter,
            "month" => DateField::Month,
            "week" => DateField::Week,
            "day" => DateField::Day,
            "dow" => DateField::DayOfWeek,
            "doy" => DateField::DayOfYear,
            "hour" => DateField::Hour,
            "minute" => DateField::Minute,
            "second" => DateField::Second,
            "millisecond" => DateField::Millisecond,
            "microsecond" => DateField::Microsecond,
            "nanosecond" => DateField::Nanosecond,
            "epoch" => DateField::Epoch,
            _ => return None,
        })
    }
}

impl Expr {
    pub fn column(index: usize, ty: ScalarType, nullable: bool) -> Expr {
        Expr { kind: ExprKind::Column(index), ty, nullable }
    }

    pub fn literal(value: Literal, ty: ScalarType) -> Expr {
        let nullable = value == Literal::Null;
        Expr { kind: ExprKind::Literal(value), ty, nullable }
    }

    /// The operands, in order.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Column(_) | ExprKind::Literal(_) => vec![],
            ExprKind::Field { base, .. } => vec![base],
            ExprKind::Unary { arg, .. } | ExprKind::Cast { arg, .. } | ExprKind::InList { arg, .. } => vec![arg],
            ExprKind::Binary { left, right, .. } => vec![left, right],
            ExprKind::Case { branches, otherwise } => {
                branches.iter().flat_map(|(when, then)| [when, then]).chain(otherwise.as_deref()).collect()
            }
            ExprKind::Native { args, .. } | ExprKind::Kernel { args, .. } => args.iter().collect(),
        }
    }

    /// The operands, in order, to change in place.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.kind {
            ExprKind::Column(_) | ExprKind::Literal(_) => vec![],
            ExprKind::Field { base, .. } => vec![base],
            ExprKind::Unary { arg, .. } | ExprKind::Cast { arg, .. } | ExprKind::InList { arg, .. } => vec![arg],
            ExprKind::Binary { left, right, .. } => vec![left, right],
            ExprKind::Case { branches, otherwise } => {
                branches.iter_mut().flat_map(|(when, then)| [when, then]).chain(otherwise.as_deref_mut()).collect()
            }
            ExprKind::Native { args, .. } | ExprKind::Kernel { args, .. } => args.iter_mut().collect(),
        }
    }

    /// Calls `visit` on this expression and everything below it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// Calls `change` on this expression and everything below it, children first.
    pub fn rewrite(&mut self, change: &mut dyn FnMut(&mut Expr)) {
        for child in self.children_mut() {
            child.rewrite(change);
        }
        change(self);
    }

    /// Adds the columns that it reads to `columns`, each once.
    pub fn collect_columns(&self, columns: &mut Vec<usize>) {
        self.walk(&mut |expr| {
            if let ExprKind::Column(index) = expr.kind
                && !columns.contains(&index)
            {
                columns.push(index);
            }
        });
    }

    /// Renumbers the columns that it reads: old index to new.
    pub fn remap_columns(&mut self, map: &dyn Fn(usize) -> usize) {
        self.rewrite(&mut |expr| {
            if let ExprKind::Column(index) = &mut expr.kind {
                *index = map(*index);
            }
        });
    }

    /// True when there is no kernel call in it: it can be fused into a loop.
    pub fn is_native(&self) -> bool {
        let mut native = true;
        self.walk(&mut |expr| native &= !matches!(expr.kind, ExprKind::Kernel { .. }));
        native
    }

    /// True when evaluating it for some row can fail: integer division, narrowing casts, a negative length, a field
    /// number 0. Such an expression is evaluated only for rows that reach it.
    pub fn is_fallible(&self) -> bool {
        let mut fallible = false;
        self.walk(&mut |expr| {
            fallible |= match &expr.kind {
                ExprKind::Binary { op: BinaryOp::Divide | BinaryOp::Remainder, right, .. } => {
                    // A divisor that is a non-zero constant other than -1 can neither trap nor overflow.
                    expr.ty.is_integer()
                        && !matches!(right.kind, ExprKind::Literal(Literal::Int(n)) if n != 0 && n != -1)
                        && !matches!(right.kind, ExprKind::Literal(Literal::UInt(n)) if n != 0)
                }
                ExprKind::Cast { arg, fallible_as_null: false } => !cast_always_fits(&arg.ty, &expr.ty),
                ExprKind::Native { function: NativeFn::Substr, args } => {
                    args.get(2).is_some_and(|len| !matches!(len.kind, ExprKind::Literal(Literal::Int(0..))))
                }
                ExprKind::Native { function: NativeFn::SplitPart, args } => {
                    args.get(2).is_some_and(|n| !matches!(n.kind, ExprKind::Literal(Literal::Int(n)) if n != 0))
                }
                ExprKind::Kernel { .. } => true,
                _ => false,
            }
        });
        fallible
    }

    /// True when it is null exactly where one of the columns that it reads is null.
    pub fn is_strict(&self) -> bool {
        let here = match &self.kind {
            ExprKind::Column(_) | ExprKind::Field { .. } => true,
            ExprKind::Literal(value) => *value != Literal::Null,
            ExprKind::Unary { op, .. } => matches!(op, UnaryOp::Not | UnaryOp::Negate),
            ExprKind::Binary { op, .. } => op.is_arithmetic() || op.is_bitwise() || op.is_comparison(),
            ExprKind::Cast { arg, fallible_as_null } => !fallible_as_null || cast_always_fits(&arg.ty, &self.ty),
            ExprKind::InList { .. } => true,
            ExprKind::Native { function, .. } => function.is_strict(),
            ExprKind::Case { .. } | ExprKind::Kernel { .. } => false,
        };
        here && self.children().into_iter().all(Expr::is_strict)
    }
}

/// Whether every value of `from` has a value of `to`. Casts from integers to floats always fit: they round.
pub fn cast_always_fits(from: &ScalarType, to: &ScalarType) -> bool {
    use ScalarType::*;
    if from == to {
        return true;
    }
    let bits = |ty: &ScalarType| match ty {
        Int8 | UInt8 => 8,
        Int16 | UInt16 => 16,
        Int32 | UInt32 => 32,
        _ => 64,
    };
    match (from, to) {
        (Utf8, Json) | (Json, Utf8) => true,
        (Bool, to) => to.is_integer() || to.is_float(),
        (from, Bool) => from.is_integer() || from.is_float(),
        (from, Float32 | Float64) => from.is_integer() || from.is_float(),
        (from, to) if from.is_integer() && to.is_integer() => {
            match (from.is_signed_integer(), to.is_signed_integer()) {
                (true, true) | (false, false) => bits(from) <= bits(to),
                (false, true) => bits(from) < bits(to),
                (true, false) => false,
            }
        }
        // A coarser tick can hold every finer timestamp, not the other way around.
        (Timestamp { unit: a, .. }, Timestamp { unit: b, .. }) => b.nanos() >= a.nanos(),
        // 32 bits of days reach farther than 64 bits of microseconds, and less far than those of milliseconds.
        (Timestamp { unit, .. }, Date) => unit.nanos() <= 1_000,
        (Date, Timestamp { unit, .. }) => unit.nanos() >= 1_000_000,
        (Int64, Timestamp { .. } | Duration { .. } | Time) => true,
        (Timestamp { .. } | Duration { .. } | Time, Int64) => true,
        (Int32, Date) | (Date, Int32) => true,
        _ => false,
    }
}
