//! Moves kernel calls out of expressions, into columns that are computed before.
//!
//! ```text
//!  a > 0 AND upper(trim_kernel(x)) = y
//!    Compute  trim = trim_kernel(x)   if a > 0 is not false
//!    Compute  upper = upper(trim)     if a > 0 is not false
//!    a > 0 AND upper = y
//! ```
//!
//! A call that stands where SQL need not evaluate it (the right side of AND and OR, branches of CASE, later arguments of
//! COALESCE) gets a *guard*: the condition under which it is reached. A call that is there already under the same
//! guard, or under none, is not made twice.

use compiler_ir::{BinaryOp, Expr, ExprKind, KernelColumn, NativeFn, UnaryOp};
use schema::Schema;

use super::expr::{and, unary};
use super::{Names, is_fresh_call};

pub(super) struct Hoist {
    /// Columns of the relation; moved calls are numbered from here.
    base: usize,
    names: Names,
    known: Vec<(Expr, usize)>,
    moved: Vec<Moved>,
}

/// Columns that one `Compute` makes, and the calls whose value they hold for every row.
pub(super) type Level = (Vec<KernelColumn>, Vec<(Expr, usize)>);

struct Moved {
    name: String,
    call: Expr,
    guard: Option<Expr>,
    /// 0: reads columns of the relation only; n: also calls of level n - 1.
    level: usize,
}

impl Hoist {
    /// `known`: calls whose values the relation has.
    pub(super) fn new(schema: &Schema, known: &[(Expr, usize)]) -> Self {
        let mut names = Names::default();
        for field in &schema.fields {
            names.fresh(&field.name);
        }
        Hoist { base: schema.len(), names, known: known.to_vec(), moved: vec![] }
    }

    /// Makes an expression native.
    pub(super) fn expr(&mut self, expr: &mut Expr) {
        self.visit(expr, None);
    }

    /// An aggregate's argument is evaluated for rows that its filter keeps.
    pub(super) fn aggregate(&mut self, filter: Option<&mut Expr>, arg: Option<&mut Expr>) {
        let guard = filter.map(|filter| {
            self.visit(filter, None);
            filter.clone()
        });
        if let Some(arg) = arg {
            self.visit(arg, guard.as_ref());
        }
    }

    fn visit(&mut self, expr: &mut Expr, guard: Option<&Expr>) {
        if expr.is_native() {
            return;
        }
        match &mut expr.kind {
            ExprKind::Binary { op: op @ (BinaryOp::And | BinaryOp::Or), left, right } => {
                self.visit(left, guard);
                if !right.is_native() {
                    let op = if *op == BinaryOp::And { UnaryOp::IsNotFalse } else { UnaryOp::IsNotTrue };
                    let reached = also(guard, unary(op, (**left).clone()));
                    self.visit(right, Some(&reached));
                }
            }
            ExprKind::Case { branches, otherwise } => {
                let mut reached = guard.cloned();
                for (when, then) in branches {
                    self.visit(when, reached.as_ref());
                    let inside = also(reached.as_ref(), when.clone());
                    self.visit(then, Some(&inside));
                    reached = Some(also(reached.as_ref(), unary(UnaryOp::IsNotTrue, when.clone())));
                }
                if let Some(otherwise) = otherwise {
                    self.visit(otherwise, reached.as_ref());
                }
            }
            ExprKind::Native { function: NativeFn::Coalesce, args } => self.coalesce(args, guard),
            ExprKind::Kernel { name, args } if name == "coalesce" => {
                self.coalesce(args, guard);
                self.replace(expr, guard);
            }
            ExprKind::Kernel { name, args } if name == "op_case" => {
                self.case_kernel(args, guard);
                self.replace(expr, guard);
            }
            ExprKind::Kernel { args, .. } => {
                for arg in args {
                    self.visit(arg, guard);
                }
                self.replace(expr, guard);
            }
            _ => {
                for child in expr.children_mut() {
                    self.visit(child, guard);
                }
            }
        }
        // A guarded call is null where it is not reached, whatever it was said to be.
        if let ExprKind::Field { base, .. } = &expr.kind {
            expr.nullable |= base.nullable;
        }
    }

    fn coalesce(&mut self, args: &mut [Expr], guard: Option<&Expr>) {
        let mut reached = guard.cloned();
        for arg in args {
            self.visit(arg, reached.as_ref());
            reached = Some(also(reached.as_ref(), unary(UnaryOp::IsNull, arg.clone())));
        }
    }

    /// `op_case(when, then, when, then, otherwise)`.
    fn case_kernel(&mut self, args: &mut [Expr], guard: Option<&Expr>) {
        let mut reached = guard.cloned();
        for pair in args.chunks_mut(2) {
            match pair {
                [when, then] => {
                    self.visit(when, reached.as_ref());
                    let inside = also(reached.as_ref(), when.clone());
                    self.visit(then, Some(&inside));
                    reached = Some(also(reached.as_ref(), unary(UnaryOp::IsNotTrue, when.clone())));
                }
                [otherwise] => self.visit(otherwise, reached.as_ref()),
                _ => {}
            }
        }
    }

    /// Puts a column in the place of a kernel call whose arguments are native.
    fn replace(&mut self, expr: &mut Expr, guard: Option<&Expr>) {
        let index = self.column(expr, guard);
        *expr = Expr::column(index, expr.ty.clone(), true);
    }

    fn column(&mut self, call: &Expr, guard: Option<&Expr>) -> usize {
        if !is_fresh_call(call) {
            if let Some((_, index)) = self.known.iter().find(|(known, _)| known == call) {
                return *index;
            }
            let same = |moved: &Moved| moved.call == *call && (moved.guard.is_none() || moved.guard.as_ref() == guard);
            if let Some(position) = self.moved.iter().position(same) {
                return self.base + position;
            }
        }
        let mut read = Vec::new();
        call.collect_columns(&mut read);
        if let Some(guard) = guard {
            guard.collect_columns(&mut read);
        }
        let below = read.iter().filter_map(|index| self.moved.get(index.checked_sub(self.base)?));
        let level = below.map(|moved| moved.level + 1).max().unwrap_or(0);
        let name = match &call.kind {
            ExprKind::Kernel { name, .. } => self.names.fresh(name.trim_start_matches("op_")),
            _ => self.names.fresh("value"),
        };
        let call = Expr { nullable: true, ..call.clone() };
        self.moved.push(Moved { name, call, guard: guard.cloned(), level });
        self.base + self.moved.len() - 1
    }

    /// The computed columns, level by level, each with the calls whose value they hold for every row; `exprs` are
    /// renumbered to them.
    pub(super) fn finish(self, exprs: Vec<&mut Expr>) -> Vec<Level> {
        let mut order: Vec<usize> = (0..self.moved.len()).collect();
        order.sort_by_key(|&index| (self.moved[index].level, index));
        let mut place = vec![0; order.len()];
        for (position, &index) in order.iter().enumerate() {
            place[index] = self.base + position;
        }
        let renumber = |index: usize| if index < self.base { index } else { place[index - self.base] };
        for expr in exprs {
            expr.remap_columns(&renumber);
        }
        let mut levels: Vec<Level> = Vec::new();
        for (position, &index) in order.iter().enumerate() {
            let moved = &self.moved[index];
            let mut call = moved.call.clone();
            call.remap_columns(&renumber);
            let mut guard = moved.guard.clone();
            if let Some(guard) = &mut guard {
                guard.remap_columns(&renumber);
            }
            if levels.len() <= moved.level {
                levels.push((vec![], vec![]));
            }
            let (columns, calls) = levels.last_mut().expect("one was pushed");
            if guard.is_none() && !is_fresh_call(&call) {
                calls.push((call.clone(), self.base + position));
            }
            columns.push(KernelColumn { name: moved.name.clone(), call, guard });
        }
        levels
    }
}

fn also(guard: Option<&Expr>, condition: Expr) -> Expr {
    match guard {
        Some(guard) => and(guard.clone(), condition),
        None => condition,
    }
}
