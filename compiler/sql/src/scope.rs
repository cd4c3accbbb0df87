//! What the names in a query stand for: the relations of a FROM, their columns, and how much of that is known.
//!
//! A name is wrong only when everything that could define it is known and does not. Of a broken definition nothing is
//! known; some names (of tables behind a sub-select without a name, for one) only the binder understands. Then the
//! answer is [`Found::Maybe`], and the binder has the word.
//!
//! Names are found in any case of letters, those that are spelt exactly so first.
//!
//! Not here: the types of expressions ([`crate::typing`]), tables (the catalog's).

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Fields};
use datafusion_expr::LogicalPlan;
use sqlparser::ast::{Ident, TableAlias};

use crate::catalog::Relation;
use crate::diagnostic::{Diagnostic, Span, code, listed, nearest};
use crate::parse::normalize;

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Its type, where that is known.
    pub(crate) field: Option<FieldRef>,
}

/// The rows of a table, a view or a sub-select.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// `None`: not known.
    pub(crate) columns: Option<Vec<Column>>,
    /// Whether they have an event time: the results of an aggregate have none.
    pub(crate) timed: bool,
    /// Whether rows are taken back and replaced: those of an aggregate without a window are.
    pub(crate) updating: bool,
}

/// Rows under a name.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// `None`: a sub-select without one.
    pub(crate) qualifier: Option<String>,
    pub(crate) rows: Rows,
    /// Those of its columns that USING has merged with others: `*` has them once.
    pub(crate) merged: Vec<String>,
}

/// What the expressions of a SELECT may name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) relations: Vec<Named>,
    /// The columns that USING has merged, as the left side has them.
    pub(crate) merged: Vec<Column>,
    /// The select list, which GROUP BY and HAVING may name too. `None`: not known.
    pub(crate) outputs: Option<Vec<Column>>,
}

/// What a name stands for.
pub(crate) enum Found<'a> {
    /// A column, and how many parts of the name it takes; the others are members.
    Column(&'a Column, usize),
    Maybe,
    Nothing,
}

impl Column {
    pub(crate) fn all_of(fields: &Fields) -> Vec<Column> {
        let columns = fields.iter();
        columns.map(|field| Column { name: field.name().clone(), field: Some(Arc::clone(field)) }).collect()
    }
}

impl Rows {
    pub(crate) fn unknown() -> Rows {
        Rows { columns: None, timed: true, updating: false }
    }

    pub(crate) fn of(relation: &Relation) -> Rows {
        match relation {
            // A sink that takes the columns of its INSERT.
            Relation::Table(table) if table.columns.is_empty() => Rows::unknown(),
            Relation::Table(table) => {
                Rows { columns: Some(Column::all_of(table.schema().to_arrow().fields())), timed: true, updating: false }
            }
            Relation::Memory { schema, rows } => Rows {
                columns: Some(Column::all_of(schema.to_arrow().fields())),
                timed: rows.as_ref().is_none_or(is_timed),
                updating: rows.as_ref().is_some_and(is_updating),
            },
            Relation::View(plan) => Rows {
                columns: Some(Column::all_of(plan.schema().fields())),
                timed: is_timed(plan),
                updating: is_updating(plan),
            },
            Relation::Broken => Rows::unknown(),
        }
    }

    /// With the names that an alias gives to the columns: `AS t (a, b)`.
    pub(crate) fn renamed(self, alias: Option<&TableAlias>) -> Rows {
        let names = match alias {
            Some(alias) if !alias.columns.is_empty() => &alias.columns,
            _ => return self,
        };
        let columns = self.columns.filter(|columns| columns.len() == names.len()).map(|columns| {
            let renamed = columns.into_iter().zip(names);
            renamed.map(|(column, name)| Column { name: normalize(&name.name), ..column }).collect()
        });
        Rows { columns, ..self }
    }

    fn known(&self) -> &[Column] {
        self.columns.as_deref().unwrap_or_default()
    }
}

impl Named {
    /// The column of that name, in any case of letters.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        match among(self.rows.known(), name) {
            Among::One(column) => Some(column),
            Among::Several | Among::None => None,
        }
    }
}

/// Whether the rows of a bound plan have an event time.
fn is_timed(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Extension(_) | LogicalPlan::Aggregate(_) => false,
        other => other.inputs().into_iter().all(is_timed),
    }
}

/// Whether the rows of a bound plan are taken back and replaced: there is an aggregate without a window in it.
pub(crate) fn is_updating(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(_) => true,
        other => other.inputs().into_iter().any(is_updating),
    }
}

/// What is found among the columns of one relation.
enum Among<'a> {
    One(&'a Column),
    /// Several, which only the case of their letters tells apart.
    Several,
    None,
}

fn among<'a>(columns: &'a [Column], name: &str) -> Among<'a> {
    if let Some(column) = columns.iter().find(|column| column.name == name) {
        return Among::One(column);
    }
    let folded = name.to_lowercase();
    let mut alike = columns.iter().filter(|column| column.name.to_lowercase() == folded);
    match (alike.next(), alike.next()) {
        (Some(column), None) => Among::One(column),
        (Some(_), Some(_)) => Among::Several,
        (None, _) => Among::None,
    }
}

impl Scope {
    /// The columns that `*` stands for: what is merged, then what else each relation has. `None`: not known.
    pub(crate) fn star(&self) -> Option<Vec<Column>> {
        let mut columns = self.merged.clone();
        for named in &self.relations {
            let own = named.rows.columns.as_ref()?.iter().filter(|column| !named.merged.contains(&column.name));
            columns.extend(own.cloned());
        }
        Some(columns)
    }

    /// Whether the rows that are read have an event time.
    pub(crate) fn is_timed(&self) -> bool {
        self.relations.iter().all(|named| named.rows.timed)
    }

    /// Whether the rows that are read are taken back and replaced.
    pub(crate) fn is_updating(&self) -> bool {
        self.relations.iter().any(|named| named.rows.updating)
    }

    /// The relation of that name.
    pub(crate) fn relation(&self, qualifier: &str) -> Option<&Named> {
        let folded = qualifier.to_lowercase();
        self.relations.iter().find(|named| named.qualifier.as_ref().is_some_and(|name| name.to_lowercase() == folded))
    }

    /// Whether the columns of a relation may be called by names that are not its own.
    fn has_nameless(&self) -> bool {
        self.relations.iter().any(|named| named.qualifier.is_none())
    }

    /// What `a`, `a.b` or `a.b.c` stands for. `outputs`: where the select list can be named.
    pub(crate) fn find(&self, path: &[Ident], outputs: bool) -> Found<'_> {
        let Some((first, rest)) = path.split_first() else { return Found::Maybe };
        // Names that the binder makes of expressions: `"count(*)"`.
        let mut maybe = self.relations.is_empty() || (first.quote_style.is_some() && first.value.contains('('));
        let first = normalize(first);
        if let (Some(second), Some(named)) = (rest.first(), self.relation(&first)) {
            let Some(columns) = &named.rows.columns else { return Found::Maybe };
            match among(columns, &normalize(second)) {
                Among::One(column) => return Found::Column(column, 2),
                Among::Several => return Found::Maybe,
                Among::None => {}
            }
        }
        for columns in self.visible(outputs) {
            match columns.map(|columns| among(columns, &first)) {
                Some(Among::One(column)) => return Found::Column(column, 1),
                Some(Among::None) => {}
                Some(Among::Several) | None => maybe = true,
            }
        }
        // schema.table.column
        let longer = rest.iter().skip(1).zip(rest).any(|(_, part)| self.relation(&normalize(part)).is_some());
        if maybe || longer || (!rest.is_empty() && self.has_nameless()) { Found::Maybe } else { Found::Nothing }
    }

    /// The columns that can be named alone, of each relation.
    fn visible(&self, outputs: bool) -> impl Iterator<Item = Option<&[Column]>> {
        let outputs = outputs.then_some(self.outputs.as_deref());
        self.relations.iter().map(|named| named.rows.columns.as_deref()).chain(outputs)
    }

    /// What to say about a name that stands for nothing.
    pub(crate) fn hint(&self, path: &[Ident], outputs: bool) -> Option<String> {
        match path {
            [] => None,
            [name] => self.hint_for_column(name, outputs),
            [qualifier, name, ..] => self.hint_for_qualified(&normalize(qualifier), &normalize(name)),
        }
    }

    fn hint_for_column(&self, ident: &Ident, outputs: bool) -> Option<String> {
        let name = normalize(ident);
        let columns: Vec<&Column> = self.visible(outputs).flatten().flatten().collect();
        // A member without its struct.
        if let Some(column) = columns.iter().find(|column| members(column).any(|member| member == name)) {
            return Some(format!("Did you mean \"{}.{name}\"?", column.name));
        }
        let names = columns.iter().map(|column| column.name.as_str());
        if let Some(near) = nearest(&name, names.clone()) {
            return Some(format!("Did you mean \"{near}\"?"));
        }
        if ident.quote_style == Some('"') {
            return Some(format!("text is written in single quotes: '{name}'"));
        }
        let mut seen = BTreeSet::new();
        let names: Vec<&str> = names.filter(|name| seen.insert(*name)).collect();
        (!names.is_empty()).then(|| format!("columns are {}", listed(names)))
    }

    fn hint_for_qualified(&self, qualifier: &str, name: &str) -> Option<String> {
        if let Some(named) = self.relation(qualifier) {
            let names = named.rows.known().iter().map(|column| column.name.as_str());
            return match nearest(name, names.clone()) {
                Some(near) => Some(format!("Did you mean \"{qualifier}.{near}\"?")),
                None => Some(format!("columns of \"{qualifier}\" are {}", listed(names))),
            };
        }
        let holders = self.relations.iter().filter(|named| matches!(among(named.rows.known(), name), Among::One(_)));
        let mut holders = holders.filter_map(|named| named.qualifier.as_deref());
        if let (Some(table), None) = (holders.next(), holders.next()) {
            return Some(format!("Did you mean \"{table}.{name}\"?"));
        }
        self.hint_for_table(qualifier)
    }

    /// What to say about a qualifier that no relation has.
    pub(crate) fn hint_for_table(&self, qualifier: &str) -> Option<String> {
        let names: Vec<&str> = self.relations.iter().filter_map(|named| named.qualifier.as_deref()).collect();
        match nearest(qualifier, names.iter().copied()) {
            Some(near) => Some(format!("Did you mean \"{near}\"?")),
            None if names.is_empty() => None,
            None => Some(format!("FROM has {}", listed(names))),
        }
    }

    /// Whether no relation can have that name.
    pub(crate) fn lacks_table(&self, qualifier: &str) -> bool {
        !self.relations.is_empty() && self.relation(qualifier).is_none() && !self.has_nameless()
    }
}

/// The members of a struct column.
fn members(column: &Column) -> impl Iterator<Item = &str> {
    let fields: &[FieldRef] = match column.field.as_ref().map(|field| field.data_type()) {
        Some(DataType::Struct(fields)) => fields,
        _ => &[],
    };
    fields.iter().map(|field| field.name().as_str())
}

/// What is wrong with `.name` of a value of that type. Maps have members that are not known here.
pub(crate) fn missing_member(ty: &DataType, name: &str, span: Option<Span>) -> Option<Diagnostic> {
    match ty {
        DataType::Struct(fields) => member_of(ty, name).is_none().then(|| {
            let names = fields.iter().map(|field| field.name().as_str());
            let hint = match nearest(name, names.clone()) {
                Some(near) => format!("Did you mean \"{near}\"?"),
                None => format!("members are {}", listed(names)),
            };
            let message = format!("member \"{name}\" does not exist");
            Diagnostic::error(code::UNKNOWN_COLUMN, span, message).with_hint(hint)
        }),
        DataType::Map(..) | DataType::Null | DataType::Dictionary(..) | DataType::Union(..) => None,
        other => {
            let hint = match other {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                    format!("a member of JSON text is read with ->>, as in data ->> '{name}'")
                }
                DataType::List(_) => format!("take an element of the list first: tags[1].{name}"),
                _ => "only structs have members".to_owned(),
            };
            let message = format!("type {} has no member \"{name}\"", crate::translate::sql_type(other));
            Some(Diagnostic::error(code::TYPES, span, message).with_hint(hint))
        }
    }
}

/// The type of a member, in any case of letters.
pub(crate) fn member_of<'a>(ty: &'a DataType, name: &str) -> Option<&'a DataType> {
    let DataType::Struct(fields) = ty else { return None };
    if let Some(field) = fields.iter().find(|field| field.name() == name) {
        return Some(field.data_type());
    }
    let folded = name.to_lowercase();
    fields.iter().find(|field| field.name().to_lowercase() == folded).map(|field| field.data_type())
}
