//! A streaming pipeline, compiled from SQL:
//!
//! ```text
//! 0 things
//!   │ source things (nexmark)
//!
//! 1 project
//!   ◀── 0
//!   │ project i + j AS sum, 10 - j AS difference, i / j AS quotient, i / 3 AS third, j % j AS modulo, (i << 3) # (j & 255) AS bits, -(j + -9223372036854775808) AS negated, f * -0.5 AS half, i > 1 OR flag AND f < 2.0 AS three_valued, j > 1 AND NOT s = 'a"b\u{202e}' AS two_valued, point IS NULL AS missing, i + j IS NOT NULL AS present, flag IS NOT TRUE AS is_true, j = 0 IS FALSE AS is_false, t IS DISTINCT FROM s AS unlike, j IS NOT DISTINCT FROM 4 AS alike, CASE WHEN i > 100 THEN 'big' WHEN flag THEN t ELSE 'small' END AS size, CASE WHEN j > 100 THEN 1 END AS kind, CASE WHEN j > 100 THEN 1 ELSE 2 END AS simple, CAST(i AS INT) AS narrow, TRY_CAST(f AS BIGINT) AS maybe, CAST(small AS DOUBLE) AS wide, CAST(flag AS BIGINT) AS from_flag, CAST(j AS BOOLEAN) AS to_flag, CAST(at AS TIMESTAMP(0) WITH TIME ZONE 'UTC') AS seconds, TRY_CAST(at AS TIMESTAMP) AS nanos, CAST(at AS DATE) AS on_day, CAST(day AS TIMESTAMP) AS midnight, i NOT IN (-1, -9223372036854775808, 7) AS listed, i + j IN (1) AS listed_sum, g IN (0.1, NaN) AS listed_float, t IN ('a') AS listed_text, bytes IN (X'00ff') AS listed_bytes, coalesce(i, 1 / j, 0) AS first, coalesce(t, 'none') AS first_text, nullif(j, 0) AS nothing, greatest(i, j, 5) AS most, least(t, s) AS least, abs(small) AS magnitude, sqrt(floor(f)) AS root, round(trunc(ceil(g))) AS rounded, power(ln(exp(f)), log2(log10(10.0))) AS logs, character_length(t) AS length, octet_length(s) AS bytes_length, starts_with(t, s) AS starts, ends_with(s, 'z') AS ends, contains(s, 'm') AS has, strpos(t, 'x') AS position, substr(t, 2) AS tail, substr(t, 2, j) AS middle, left(s, 3) AS left, right(btrim(ltrim(rtrim(s))), i) AS right, split_part(t, ',', 1) AS part, date_trunc('month', at) AS month_start, date_trunc('week', day) AS week_start, date_trunc('hour', day) AS day_itself, date_part('year', at) AS year, date_part('dow', day) AS weekday, date_part('hour', day) AS hour_of_day, date_part('epoch', at) AS epoch, date_part('nanosecond', at) AS nanosecond, at + INTERVAL '90 seconds' AS later, point.x AS point_x, point.x * 2.0 AS twice_x, point.name IS NULL AS name_missing, tags, amount > 10.00 AS dear, -amount AS owed, type + x AS type, NULL AS null_text, 'hello \u{202e}\ "world"' AS greeting, X'610062' AS blob, TRUE AS yes, -inf AS real, INTERVAL '-1 days 3600 seconds' AS an_hour, [1, NULL] AS a_list, {a: 1} AS a_struct, TIMESTAMP '1970-01-01 00:00:00' AS epoch_start
//!
//! 2 filter_to_some
//!   ◀── 0
//!   │ filter 10 / i > 1 AND i > 1 AND f < 1.5 AND t = 't' AND day IS NOT NULL AND flag
//!   │ filter point.name = 'p'
//!   │ project i, point.name AS point_name, i / j AS ratio, substr(t, 1, 1) AS first, flag AND u < 7 AS both, coalesce(bytes, X'01') AS bytes, CAST(i AS DOUBLE) AS big
//!   │ sink some (stdout)
//!
//! 3 to_all
//!   ◀── 1
//!   │ sink all (stdout)
//! ```
//!
//! Generated; what it calls is documented in `worker_lib`.

use std::process::ExitCode;
use worker_lib::Pipeline;
use worker_lib::StageDef;

mod project;
mod filter_to_some;

/// What this binary can run. `code` is the digest of these files, known when they are built.
static PIPELINE: Pipeline = Pipeline {
    code: env!("STREAMWRIGHT_CODE"),
    stages: &[
        StageDef {
            id: 1,
            name: "project",
            new: project::new,
        },
        StageDef {
            id: 2,
            name: "filter_to_some",
            new: filter_to_some::new,
        },
    ],
    connectors: &[&connectors_nexmark::NEXMARK_SOURCE, &connectors_stdout::STDOUT_SINK],
};

pub(crate) fn main() -> ExitCode {
    worker_lib::main(&PIPELINE)
}
