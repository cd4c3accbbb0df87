//! What to do about an error: the remedies that diagnostics name.
//!
//! A message that knows the script's own names (`Did you mean "auction"?`) makes its hint where it is made. The others
//! are here, in two tables that are read when a pass returns its errors, so that no construct is refused without a
//! word about what to write instead: [`INSTEAD`] for what is not supported, [`REMEDIES`] for the rest. A table is
//! asked only for a message that has no hint of its own.
//!
//! Not here: hints of syntax errors ([`crate::syntax`]), which look at the text around them.

use schema::ScalarType;

use crate::diagnostic::Diagnostic;

const WINDOW: &str = "group by a time window: GROUP BY tumble(interval '10 seconds')";
const JOIN: &str = "group both sides by tumble(...), then join them: ON a.key = b.key AND a.window = b.window";
const FIRST_ROWS: &str = "a stream has no first rows; bound the source instead";
const ROWS_OF_OTHERS: &str = "write a condition on the row itself, or join time windows: other rows are not looked at";

/// For a cast between types that are not converted.
pub(crate) const NO_CAST: &str =
    "convert it by way of a type that both have, such as TEXT: CAST(CAST(a AS TEXT) AS ...)";

/// `X is not supported yet`: how X begins, and what to write instead. The first that fits counts.
const INSTEAD: &[(&str, &str)] = &[
    // Statements
    ("CREATE TABLE ... AS with", "create the table, then INSERT INTO it"),
    ("CREATE VIEW with options", "leave the options out: a view is only a name for a query"),
    ("PARTITIONED BY", "set 'partitioning.fields' in the WITH clause of a filesystem sink"),
    ("a temporary (lookup) table", "read the table as a source: there are no lookups yet"),
    ("a lookup table", "read the table as a source: there are no lookups yet"),
    ("a data-changing statement", "write it as a statement of its own"),
    ("the qualified table name", "all tables of a script are in one schema: use the bare name"),
    // Queries
    ("WITH RECURSIVE", "write each step as a view or a WITH query of its own"),
    ("ORDER BY or another clause in", "the aggregates have DISTINCT and FILTER (WHERE ...) only"),
    ("ORDER BY in", "the aggregates have DISTINCT and FILTER (WHERE ...) only"),
    ("ORDER BY", "a stream has no last row; sort where the output is read"),
    ("LIMIT", FIRST_ROWS),
    ("FETCH", FIRST_ROWS),
    ("TOP", FIRST_ROWS),
    ("FOR UPDATE", "leave it out: a pipeline only reads, there is nothing to lock"),
    ("FOR XML or FOR JSON", "set the format of the sink: format = 'json'"),
    ("FORMAT", "set the format of the sink: format = 'json'"),
    ("SETTINGS", "leave it out, or write a SET statement"),
    ("the pipe operator", "write SELECT ... FROM ... WHERE ...; a FROM may have sub-selects"),
    ("UNION without ALL", "use UNION ALL: removing duplicates needs all rows of the stream"),
    ("UNION", "list the columns of both queries in one order and use UNION ALL"),
    ("EXCEPT", "leave rows out with WHERE: those of another query would all have to be kept"),
    ("INTERSECT", "choose rows with WHERE: those of another query would all have to be kept"),
    ("MINUS", "leave rows out with WHERE: those of another query would all have to be kept"),
    ("VALUES", "read the rows from a table with a connector"),
    ("TABLESAMPLE", "choose rows with WHERE: random() < 0.1"),
    ("TABLE", "use SELECT * FROM"),
    ("SELECT DISTINCT", "group by the columns: SELECT a, b FROM t GROUP BY a, b"),
    ("SELECT INTO", "use INSERT INTO table SELECT ..."),
    ("SELECT AS STRUCT or AS VALUE", "make a struct with named_struct('name', value)"),
    ("SELECT without FROM", "read from a table; impulse makes rows at a given rate"),
    ("LATERAL VIEW", "unnest is not there yet: take the elements one by one, tags[1], tags[2]"),
    ("LATERAL", "compute it in the select list of a sub-select"),
    ("PREWHERE", "use WHERE"),
    ("CONNECT BY", "write each level as a view or a WITH query of its own"),
    ("CLUSTER BY", "leave it out: rows are distributed by the keys of GROUP BY"),
    ("DISTRIBUTE BY", "leave it out: rows are distributed by the keys of GROUP BY"),
    ("SORT BY", "leave it out: rows are distributed by the keys of GROUP BY"),
    ("the WINDOW clause", WINDOW),
    ("QUALIFY", "filter groups with HAVING"),
    ("EXCLUDE", "list the columns"),
    ("several aliases", "give it one name, and its members one by one"),
    ("GROUP BY ALL", "list the group keys"),
    ("count(DISTINCT ...) without a time window", WINDOW),
    ("an aggregate of updated rows", "group the rows of the table itself, in one query"),
    ("a call of", "what is taken back must be what was written: make the call in a sub-select, before GROUP BY"),
    ("HAVING without GROUP BY", "use WHERE"),
    ("ROLLUP, CUBE and GROUPING SETS", "write a query for each set of keys"),
    // What stands in FROM
    ("JOIN", JOIN),
    ("LEFT JOIN", JOIN),
    ("RIGHT JOIN", JOIN),
    ("FULL JOIN", JOIN),
    ("CROSS JOIN", JOIN),
    ("NATURAL JOIN", "name the columns: JOIN ... USING (key, window)"),
    ("USING with a sub-select", "give it a name: (SELECT ...) AS a"),
    ("this form of * over", "list the columns"),
    ("the condition of", "compute in a sub-select what it needs of one side, and compare that"),
    ("a join", JOIN),
    ("this kind of join", JOIN),
    ("(+)", JOIN),
    ("the table function", "time windows stand in GROUP BY: tumble(interval '10 seconds')"),
    ("this form of a table", "write its name, with AS and another one if need be"),
    ("this kind of table", "a FROM has a table, a view or a sub-select"),
    // Windows
    ("the time window", "use tumble(interval '10 seconds')"),
    ("a time window over the result", "group the rows of the table itself by the longer window"),
    ("a time window over updated rows", "group the rows of the table itself by a time window"),
    ("row_time() of updated rows", "add max(row_time()) to the aggregates: a group has no time of its own"),
    ("row_time() of the result", "a window says its times itself: window.start, window.end"),
    ("tumble outside GROUP BY", "a window is a group key: GROUP BY tumble(interval '10 seconds')"),
    ("the window function", "use an aggregate over a time window: GROUP BY key, tumble(interval '10 seconds')"),
    ("a window function", "use an aggregate over a time window: GROUP BY key, tumble(interval '10 seconds')"),
    // Expressions
    ("unnest", "take the elements one by one: tags[1], tags[2]"),
    ("EXISTS (subquery)", ROWS_OF_OTHERS),
    ("IN (subquery)", "list the values: IN (1, 2)"),
    ("a subquery as a value", ROWS_OF_OTHERS),
    ("ANY and ALL comparison", "use array_has or IN (...)"),
    ("a lambda", "use a function of whole lists, such as array_distinct, or take elements one by one"),
    ("MATCH AGAINST", "use LIKE, or a regular expression: text ~ 'pattern'"),
    ("a parameter", "write the value"),
    ("the aggregate function", "the aggregates are count, sum, min, max and avg"),
    ("sum(DISTINCT", "count(DISTINCT ...) is supported"),
    ("avg(DISTINCT", "count(DISTINCT ...) is supported"),
    ("mean(DISTINCT", "count(DISTINCT ...) is supported"),
    ("min of several", "give it one argument"),
    ("max of several", "give it one argument"),
    ("sum of several", "give it one argument"),
    ("avg of several", "give it one argument"),
    ("mean of several", "give it one argument"),
    ("count of several", "give it one argument, such as a struct(...) of them"),
    ("min of", "take a single value: a member of a struct, place.city, or an element of a list, tags[1]"),
    ("max of", "take a single value: a member of a struct, place.city, or an element of a list, tags[1]"),
    ("sum of", "sum numbers"),
    ("avg of", "average numbers"),
    ("count of", "count a member of it, or something computed from it"),
    ("a group key of type", "group by a member of it, or by something computed from it"),
    ("a condition of type", "write a comparison"),
    ("a value of type", "convert it with CAST"),
    ("a constant of type", "convert it with CAST"),
    ("LIKE with another ESCAPE", "escape with a backslash: LIKE '10\\%'"),
    ("a member whose name is not a constant", "write its name: place.city"),
    ("the operator", "use a function: docs/sql.md lists them"),
    ("the function", "docs/sql.md lists the functions"),
];

/// Parts of other messages, and the remedy. The first that fits counts.
const REMEDIES: &[(&str, &str)] = &[
    // Definitions
    ("is defined twice", "give one of them another name"),
    ("is given twice", "keep one of them"),
    ("specified more than once", "list each column once"),
    (
        "the event time \"",
        "make a column that is one: at TIMESTAMP GENERATED ALWAYS AS (to_timestamp(...)), WATERMARK FOR at",
    ),
    (
        "a watermark must be a TIMESTAMP",
        "subtract a delay from the event time: WATERMARK FOR at AS at - INTERVAL '5 seconds'",
    ),
    ("only one WATERMARK FOR", "keep one of them"),
    ("a memory table has the watermark", "leave out WATERMARK FOR"),
    ("incorrect data type for metadata field", "declare the column with the type that is expected"),
    ("option \"type\" must be", "leave it out: a table that is read is a source, one that is inserted into is a sink"),
    ("option \"idle_micros\" must be", "write microseconds: idle_micros = '300000000'"),
    ("option \"watermark_field\" needs", "add event_time_field = '...', or use WATERMARK FOR"),
    ("is reserved", "give the column another name"),
    ("\" has no column \"", "docs/connectors.md lists the columns of generators"),
    ("\" of connector \"", "declare the column with that type, or leave out the list of columns"),
    ("cannot be virtual", "leave out GENERATED and METADATA in a table that is written"),
    ("the default sink \"", "docs/connectors.md lists the connectors that are sinks"),
    // Types
    ("\": type ", "convert it with CAST"),
    ("of a timestamp is not supported", "write TIMESTAMP, or TIMESTAMP(6), TIMESTAMP(3) or TIMESTAMP(0)"),
    ("type DECIMAL(", "use a DECIMAL of at most 38 digits, or DOUBLE"),
    ("type UUID is", "use TEXT"),
    ("WITH TIME ZONE", "use TIMESTAMP: times are in UTC"),
    ("type TIMESTAMPTZ", "use TIMESTAMP: times are in UTC"),
    ("type MAP", "use JSON, or a STRUCT with named members"),
    ("a STRUCT type", "write STRUCT<name TYPE, other_name TYPE>"),
    // Time windows
    ("durations specified as months", "write days: tumble(interval '30 days')"),
    ("width of a time window must be more than 0", "write a width such as tumble(interval '10 seconds')"),
    ("width of a time window must be a constant", "the width is the same for all rows: tumble(interval '10 seconds')"),
    ("width of a time window is too large", "write a width such as tumble(interval '1 day')"),
    ("a time window must be a group key by itself", "name it in the select list and use the name: window.start"),
    ("more than one time window", "keep one of them; write a query for each window"),
    // Expressions
    ("invalid input syntax for type INTERVAL", "write a number and a unit: interval '10 seconds'"),
    ("is ambiguous", "write the table's name before it"),
    ("aggregate function calls cannot be nested", "keep one of them: an aggregate has one value for each group"),
    ("must be of type BOOLEAN", "write a comparison, such as a > 0 or a IS NOT NULL"),
    ("cannot be matched", "convert one of them with CAST"),
    ("operator does not exist", "convert an operand with CAST"),
    ("does not take ", "convert the arguments with CAST"),
    ("of different types", "convert them to one type with CAST"),
    ("is too large", "make less of it, or compute it from columns"),
    ("\" does not exist", "name one that is defined"),
];

/// For a message that no table has: DataFusion's own, mostly.
const ELSEWHERE: &str = "docs/sql.md says what a query may have, docs/limits.md what it may not have yet";

/// What to write instead of a construct that is not supported.
pub(crate) fn instead_of(what: &str) -> Option<&'static str> {
    INSTEAD.iter().find(|(begins, _)| what.starts_with(begins)).map(|(_, hint)| *hint)
}

/// How a constant of a type is written.
pub(crate) fn constant_of(ty: &ScalarType) -> Option<&'static str> {
    Some(match ty {
        ScalarType::Bool => "write true or false",
        ScalarType::Date => "write a date such as '2026-01-31'",
        ScalarType::Time => "write a time such as '12:30:00'",
        ScalarType::Timestamp { .. } => "write a time such as '2026-01-31 12:30:00'",
        ScalarType::Interval | ScalarType::Duration { .. } => "write a number and a unit: interval '10 seconds'",
        ty if ty.is_integer() => "write a whole number, without quotes",
        ty if ty.is_float() => "write a number, without quotes",
        ScalarType::Decimal { .. } => "write a number, without quotes",
        _ => return None,
    })
}

/// Gives every error that has none the hint that the tables have for it, or says where to read on.
pub(crate) fn complete(mut errors: Vec<Diagnostic>) -> Vec<Diagnostic> {
    for error in errors.iter_mut().filter(|error| error.hint.is_none()) {
        error.hint = Some(remedy(&error.message).unwrap_or(ELSEWHERE).to_owned());
    }
    errors
}

fn remedy(message: &str) -> Option<&'static str> {
    if let Some(what) = message.strip_suffix(" is not supported yet")
        && let Some(hint) = instead_of(what)
    {
        return Some(hint);
    }
    if let Some((_, hint)) = REMEDIES.iter().find(|(part, _)| message.contains(part)) {
        return Some(*hint);
    }
    (message.starts_with("type ") && message.ends_with("is not supported")).then_some("docs/sql.md lists the types")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry that a shorter one before it hides is never read.
    #[test]
    fn every_entry_can_be_found() {
        for (what, hint) in INSTEAD {
            assert_eq!(instead_of(what), Some(*hint), "{what}");
        }
        for (part, hint) in REMEDIES {
            assert_eq!(remedy(part), Some(*hint), "{part}");
        }
    }

    #[test]
    fn no_error_is_without_a_hint() {
        let errors =
            ["never heard of", "a thing is not supported yet"].map(|message| Diagnostic::error("E0401", None, message));
        assert!(complete(errors.into()).iter().all(|error| error.hint.as_deref() == Some(ELSEWHERE)));
    }
}
