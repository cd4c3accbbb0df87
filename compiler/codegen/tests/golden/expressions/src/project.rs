//! Stage 1 of the pipeline, `project`.

use worker_lib::{column, scalar, Batch, Stage, StageContext, TaskError};
use worker_lib::column::{ArrayRef, IntervalMonthDayNano, ScalarType, TimeUnit};
use worker_lib::scalar::Errors;

/// Stage 1, fused from:
/// - rows of stage 0
/// - `project i + j AS sum, 10 - j AS difference, i / j AS quotient, i / 3 AS third, j % j AS modulo, (i << 3) # (j & 255) AS bits, -(j + -9223372036854775808) AS negated, f * -0.5 AS half, i > 1 OR flag AND f < 2.0 AS three_valued, j > 1 AND NOT s = 'a"b\u{202e}' AS two_valued, point IS NULL AS missing, i + j IS NOT NULL AS present, flag IS NOT TRUE AS is_true, j = 0 IS FALSE AS is_false, t IS DISTINCT FROM s AS unlike, j IS NOT DISTINCT FROM 4 AS alike, CASE WHEN i > 100 THEN 'big' WHEN flag THEN t ELSE 'small' END AS size, CASE WHEN j > 100 THEN 1 END AS kind, CASE WHEN j > 100 THEN 1 ELSE 2 END AS simple, CAST(i AS INT) AS narrow, TRY_CAST(f AS BIGINT) AS maybe, CAST(small AS DOUBLE) AS wide, CAST(flag AS BIGINT) AS from_flag, CAST(j AS BOOLEAN) AS to_flag, CAST(at AS TIMESTAMP(0) WITH TIME ZONE 'UTC') AS seconds, TRY_CAST(at AS TIMESTAMP) AS nanos, CAST(at AS DATE) AS on_day, CAST(day AS TIMESTAMP) AS midnight, i NOT IN (-1, -9223372036854775808, 7) AS listed, i + j IN (1) AS listed_sum, g IN (0.1, NaN) AS listed_float, t IN ('a') AS listed_text, bytes IN (X'00ff') AS listed_bytes, coalesce(i, 1 / j, 0) AS first, coalesce(t, 'none') AS first_text, nullif(j, 0) AS nothing, greatest(i, j, 5) AS most, least(t, s) AS least, abs(small) AS magnitude, sqrt(floor(f)) AS root, round(trunc(ceil(g))) AS rounded, power(ln(exp(f)), log2(log10(10.0))) AS logs, character_length(t) AS length, octet_length(s) AS bytes_length, starts_with(t, s) AS starts, ends_with(s, 'z') AS ends, contains(s, 'm') AS has, strpos(t, 'x') AS position, substr(t, 2) AS tail, substr(t, 2, j) AS middle, left(s, 3) AS left, right(btrim(ltrim(rtrim(s))), i) AS right, split_part(t, ',', 1) AS part, date_trunc('month', at) AS month_start, date_trunc('week', day) AS week_start, date_trunc('hour', day) AS day_itself, date_part('year', at) AS year, date_part('dow', day) AS weekday, date_part('hour', day) AS hour_of_day, date_part('epoch', at) AS epoch, date_part('nanosecond', at) AS nanosecond, at + INTERVAL '90 seconds' AS later, point.x AS point_x, point.x * 2.0 AS twice_x, point.name IS NULL AS name_missing, tags, amount > 10.00 AS dear, -amount AS owed, type + x AS type, NULL AS null_text, 'hello \u{202e}\ "world"' AS greeting, X'610062' AS blob, TRUE AS yes, -inf AS real, INTERVAL '-1 days 3600 seconds' AS an_hour, [1, NULL] AS a_list, {a: 1} AS a_struct, TIMESTAMP '1970-01-01 00:00:00' AS epoch_start`
pub(crate) struct Project;

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(Project)
}

impl Stage for Project {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        let batch = project(&batch)?;
        cx.emit(batch);
        Ok(())
    }
}

/// `SELECT`
fn project(batch: &Batch) -> Result<Batch, TaskError> {
    let columns = [
        sum(batch),
        difference(batch),
        quotient(batch)?,
        third(batch),
        modulo(batch)?,
        bits(batch),
        negated(batch),
        half(batch),
        three_valued(batch),
        two_valued(batch),
        missing(batch),
        present(batch),
        is_true(batch),
        is_false(batch),
        unlike(batch),
        alike(batch),
        size(batch),
        kind(batch),
        simple(batch),
        narrow(batch)?,
        maybe(batch),
        wide(batch),
        from_flag(batch),
        to_flag(batch),
        seconds(batch)?,
        nanos(batch),
        on_day(batch),
        midnight(batch)?,
        listed(batch),
        listed_sum(batch),
        listed_float(batch),
        listed_text(batch),
        listed_bytes(batch),
        first(batch)?,
        first_text(batch),
        nothing(batch),
        most(batch),
        least(batch),
        magnitude(batch),
        root(batch),
        rounded(batch),
        logs(batch),
        length(batch),
        bytes_length(batch),
        starts(batch),
        ends(batch),
        has(batch),
        position(batch),
        tail(batch),
        middle(batch)?,
        left(batch),
        right(batch),
        part(batch)?,
        month_start(batch),
        week_start(batch),
        day_itself(batch),
        year(batch),
        weekday(batch),
        hour_of_day(batch),
        epoch(batch),
        nanosecond(batch),
        later(batch),
        batch.path(&[13, 0]),
        twice_x(batch),
        name_missing(batch),
        batch.array(14).clone(),
        dear(batch),
        owed(batch),
        type_(batch),
        null_text(batch),
        greeting(batch),
        blob(batch),
        yes(batch),
        real(batch),
        an_hour(batch),
        a_list(batch),
        a_struct(batch),
        epoch_start(batch),
    ];
    Ok(Batch::new(columns.into(), batch.rows))
}

/// `i + j`
fn sum(batch: &Batch) -> ArrayRef {
    let i = batch.i64(0);
    let j = batch.i64(1);
    let values = column::dense(
        batch.rows,
        |row| i.value(row).wrapping_add(j.value(row)),
    );
    column::from_i64(values, column::all_valid(&[i.nulls]))
}

/// `10 - j`
fn difference(batch: &Batch) -> ArrayRef {
    let j = batch.i64(1);
    let values = column::dense(batch.rows, |row| 10i64.wrapping_sub(j.value(row)));
    column::from_i64(values, None)
}

/// `i / j`
fn quotient(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let i = batch.i64(0);
    let j = batch.i64(1);
    let errors = Errors::new();
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| i.get(row).map(|x| scalar::div(x, j.value(row), &errors)),
    );
    errors.check()?;
    Ok(column::from_i64(values, nulls))
}

/// `i / 3`
fn third(batch: &Batch) -> ArrayRef {
    let i = batch.i64(0);
    let values = column::dense(batch.rows, |row| i.value(row) / 3);
    column::from_i64(values, column::all_valid(&[i.nulls]))
}

/// `j % j`
fn modulo(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let j = batch.i64(1);
    let errors = Errors::new();
    let values = column::dense(
        batch.rows,
        |row| scalar::rem(j.value(row), j.value(row), &errors),
    );
    errors.check()?;
    Ok(column::from_i64(values, None))
}

/// `(i << 3) # (j & 255)`
fn bits(batch: &Batch) -> ArrayRef {
    let i = batch.i64(0);
    let j = batch.i64(1);
    let values = column::dense(
        batch.rows,
        |row| scalar::shl(i.value(row), 3) ^ j.value(row) & 255,
    );
    column::from_i64(values, column::all_valid(&[i.nulls]))
}

/// `-(j + -9223372036854775808)`
fn negated(batch: &Batch) -> ArrayRef {
    let j = batch.i64(1);
    let values = column::dense(
        batch.rows,
        |row| j.value(row).wrapping_add(i64::MIN).wrapping_neg(),
    );
    column::from_i64(values, None)
}

/// `f * -0.5`
fn half(batch: &Batch) -> ArrayRef {
    let f = batch.f64(4);
    let values = column::dense(batch.rows, |row| f.value(row) * -0.5);
    column::from_f64(values, column::all_valid(&[f.nulls]))
}

/// `i > 1 OR flag AND f < 2.0`
fn three_valued(batch: &Batch) -> ArrayRef {
    let i = batch.i64(0);
    let flag = batch.bool(6);
    let f = batch.f64(4);
    let (values, nulls) = column::dense_bool_opt(
        batch.rows,
        |row| {
            scalar::or(
                i.get(row).map(|x| x > 1),
                || scalar::and(flag.get(row), || f.get(row).map(|x| scalar::lt(x, 2.0))),
            )
        },
    );
    column::from_bool(values, nulls)
}

/// `j > 1 AND NOT s = 'a"b\u{202e}'`
fn two_valued(batch: &Batch) -> ArrayRef {
    let j = batch.i64(1);
    let s = batch.text(8);
    let values = column::dense_bool(
        batch.rows,
        |row| j.value(row) > 1 && !(s.value(row) == "a\"b\u{202e}"),
    );
    column::from_bool(values, None)
}

/// `point IS NULL`
fn missing(batch: &Batch) -> ArrayRef {
    let point = batch.array(13);
    let values = column::dense_bool(batch.rows, |row| point.is_null(row));
    column::from_bool(values, None)
}

/// `i + j IS NOT NULL`
fn present(batch: &Batch) -> ArrayRef {
    let i = batch.i64(0);
    let j = batch.i64(1);
    let values = column::dense_bool(
        batch.rows,
        |row| i.get(row).map(|x| x.wrapping_add(j.value(row))).is_some(),
    );
    column::from_bool(values, None)
}

/// `flag IS NOT TRUE`
fn is_true(batch: &Batch) -> ArrayRef {
    let flag = batch.bool(6);
    let values = column::dense_bool(batch.rows, |row| !(flag.get(row) == Some(true)));
    column::from_bool(values, None)
}

/// `j = 0 IS FALSE`
fn is_false(batch: &Batch) -> ArrayRef {
    let j = batch.i64(1);
    let values = column::dense_bool(batch.rows, |row| !(j.value(row) == 0));
    column::from_bool(values, None)
}

/// `t IS DISTINCT FROM s`
fn unlike(batch: &Batch) -> ArrayRef {
    let t = batch.text(7);
    let s = batch.text(8);
    let values = column::dense_bool(
        batch.rows,
        |row| scalar::distinct(t.get(row), Some(s.value(row))),
    );
    column::from_bool(values, None)
}

/// `j IS NOT DISTINCT FROM 4`
fn alike(batch: &Batch) -> ArrayRef {
    let j = batch.i64(1);
    let values = column::dense_bool(batch.rows, |row| j.value(row) == 4);
    column::from_bool(values, None)
}

/// `CASE WHEN i > 100 THEN 'big' WHEN flag THEN t ELSE 'small' END`
fn size(batch: &Batch) -> ArrayRef {
    let i = batch.i64(0);
    let flag = batch.bool(6);
    let t = batch.text(7);
    column::dense_text_opt(
        batch.rows,
        |row| {
            if i.get(row).map(|x| x > 100) == Some(true) {
                Some("big")
            } else if flag.get(row) == Some(true) {
                t.get(row)
            } else {
                Some("small")
            }
        },
    )
}

/// `CASE WHEN j > 100 THEN 1 END`
fn kind(batch: &Batch) -> ArrayRef {
    let j = batch.i64(1);
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| if j.value(row) > 100 { Some(1i64) } else { None },
    );
    column::from_i64(values, nulls)
}

/// `CASE WHEN j > 100 THEN 1 ELSE 2 END`
fn simple(batch: &Batch) -> ArrayRef {
    let j = batch.i64(1);
    let values = column::dense(
        batch.rows,
        |row| if j.value(row) > 100 { 1i64 } else { 2i64 },
    );
    column::from_i64(values, None)
}

/// `CAST(i AS INT)`
fn narrow(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let i = batch.i64(0);
    let errors = Errors::new();
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| i.get(row).map(|x| scalar::cast::<i64, i32>(x, &errors)),
    );
    errors.check()?;
    Ok(column::from_i32(values, nulls))
}

/// `TRY_CAST(f AS BIGINT)`
fn maybe(batch: &Batch) -> ArrayRef {
    let f = batch.f64(4);
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| f.get(row).and_then(|x| scalar::try_cast::<f64, i64>(x)),
    );
    column::from_i64(values, nulls)
}

/// `CAST(small AS DOUBLE)`
fn wide(batch: &Batch) -> ArrayRef {
    let small = batch.i16(2);
    let values = column::dense(batch.rows, |row| small.value(row) as f64);
    column::from_f64(values, column::all_valid(&[small.nulls]))
}

/// `CAST(flag AS BIGINT)`
fn from_flag(batch: &Batch) -> ArrayRef {
    let flag = batch.bool(6);
    let values = column::dense(batch.rows, |row| i64::from(flag.value(row)));
    column::from_i64(values, column::all_valid(&[flag.nulls]))
}

/// `CAST(j AS BOOLEAN)`
fn to_flag(batch: &Batch) -> ArrayRef {
    let j = batch.i64(1);
    let values = column::dense_bool(batch.rows, |row| j.value(row) != 0);
    column::from_bool(values, None)
}

/// `CAST(at AS TIMESTAMP(0) WITH TIME ZONE 'UTC')`
fn seconds(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let at = batch.i64(11);
    let errors = Errors::new();
    let values = column::dense(
        batch.rows,
        |row| {
            scalar::cast_unit(
                at.value(row),
                TimeUnit::Microsecond,
                TimeUnit::Second,
                &errors,
            )
        },
    );
    errors.check()?;
    Ok(
        column::from_timestamp(
            values,
            column::all_valid(&[at.nulls]),
            TimeUnit::Second,
            Some("UTC"),
        ),
    )
}

/// `TRY_CAST(at AS TIMESTAMP)`
fn nanos(batch: &Batch) -> ArrayRef {
    let at = batch.i64(11);
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| {
            at.get(row)
                .and_then(|x| scalar::try_cast_unit(
                    x,
                    TimeUnit::Microsecond,
                    TimeUnit::Nanosecond,
                ))
        },
    );
    column::from_timestamp(values, nulls, TimeUnit::Nanosecond, None)
}

/// `CAST(at AS DATE)`
fn on_day(batch: &Batch) -> ArrayRef {
    let at = batch.i64(11);
    let values = column::dense(
        batch.rows,
        |row| scalar::timestamp_to_date(at.value(row), TimeUnit::Microsecond),
    );
    column::from_date(values, column::all_valid(&[at.nulls]))
}

/// `CAST(day AS TIMESTAMP)`
fn midnight(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let day = batch.i32(10);
    let errors = Errors::new();
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| {
            day.get(row)
                .map(|x| scalar::date_to_timestamp(x, TimeUnit::Nanosecond, &errors))
        },
    );
    errors.check()?;
    Ok(column::from_timestamp(values, nulls, TimeUnit::Nanosecond, None))
}

/// `i NOT IN (-1, -9223372036854775808, 7)`
fn listed(batch: &Batch) -> ArrayRef {
    let i = batch.i64(0);
    let values = column::dense_bool(
        batch.rows,
        |row| !matches!(i.value(row), - 1 | i64::MIN | 7),
    );
    column::from_bool(values, column::all_valid(&[i.nulls]))
}

/// `i + j IN (1)`
fn listed_sum(batch: &Batch) -> ArrayRef {
    let i = batch.i64(0);
    let j = batch.i64(1);
    let values = column::dense_bool(
        batch.rows,
        |row| {
            let x = i.value(row).wrapping_add(j.value(row));
            matches!(x, 1)
        },
    );
    column::from_bool(values, column::all_valid(&[i.nulls]))
}

/// `g IN (0.1, NaN)`
fn listed_float(batch: &Batch) -> ArrayRef {
    let g = batch.f32(5);
    let values = column::dense_bool(
        batch.rows,
        |row| [0.1f32, f32::NAN].iter().any(|&z| scalar::eq(g.value(row), z)),
    );
    column::from_bool(values, None)
}

/// `t IN ('a')`
fn listed_text(batch: &Batch) -> ArrayRef {
    let t = batch.text(7);
    let values = column::dense_bool(batch.rows, |row| matches!(t.value(row), "a"));
    column::from_bool(values, column::all_valid(&[t.nulls]))
}

/// `bytes IN (X'00ff')`
fn listed_bytes(batch: &Batch) -> ArrayRef {
    let bytes = batch.binary(9);
    let values = column::dense_bool(
        batch.rows,
        |row| matches!(bytes.value(row), b"\0\xFF"),
    );
    column::from_bool(values, column::all_valid(&[bytes.nulls]))
}

/// `coalesce(i, 1 / j, 0)`
fn first(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let i = batch.i64(0);
    let j = batch.i64(1);
    let errors = Errors::new();
    let values = column::dense(
        batch.rows,
        |row| i.get(row).unwrap_or_else(|| scalar::div(1i64, j.value(row), &errors)),
    );
    errors.check()?;
    Ok(column::from_i64(values, None))
}

/// `coalesce(t, 'none')`
fn first_text(batch: &Batch) -> ArrayRef {
    let t = batch.text(7);
    column::dense_text(batch.rows, |row| t.get(row).unwrap_or("none"), None)
}

/// `nullif(j, 0)`
fn nothing(batch: &Batch) -> ArrayRef {
    let j = batch.i64(1);
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| scalar::null_if(Some(j.value(row)), Some(0i64)),
    );
    column::from_i64(values, nulls)
}

/// `greatest(i, j, 5)`
fn most(batch: &Batch) -> ArrayRef {
    let i = batch.i64(0);
    let j = batch.i64(1);
    let (values, nulls) = column::dense_opt(
        batch.rows,
        |row| {
            scalar::greatest(
                scalar::greatest(i.get(row), Some(j.value(row))),
                Some(5i64),
            )
        },
    );
    column::from_i64(values, nulls)
}

/// `least(t, s)`
fn least(batch: &Batch) -> ArrayRef {
    let t = batch.text(7);
    let s = batch.text(8);
    column::dense_text_opt(
        batch.rows,
        |row| scalar::least(t.get(row), Some(s.value(row))),
    )
}

/// `abs(small)`
fn magnitude(batch: &Batch) -> ArrayRef {
    let small = batch.i16(2);
    let values = column::dense(batch.rows, |row| scalar::abs(small.value(row)));
    column::from_i16(values, column::all_valid(&[small.nulls]))
}

/// `sqrt(floor(f))`
fn root(batch: &Batch) -> ArrayRef {
    let f = batch.f64(4);
    let values = column::dense(
        batch.rows,
        |row| scalar::sqrt(scalar::floor(f.value(row))),
    );
    column::from_f64(values, column::all_valid(&[f.nulls]))
}

/// `round(trunc(ceil(g)))`
fn rounded(batch: &Batch) -> ArrayRef {
    let g = batch.f32(5);
    let values = column::dense(
        batch.rows,
        |row| scalar::round(scalar::trunc(scalar::ceil(g.value(row)))),
    );
    column::from_f32(values, None)
}

/// `power(ln(exp(f)), log2(log10(10.0)))`
fn logs(batch: &Batch) -> ArrayRef {
    let f = batch.f64(4);
    let values = column::dense(
        batch.rows,
        |row| {
            scalar::power(
                scalar::ln(scalar::exp(f.value(row))),
                scalar::log2(scalar::log10(10.0f64)),
            )
        },
    );
    column::from_f64(values, column::all_valid(&[f.nulls]))
}

/// `character_length(t)`
fn length(batch: &Batch) -> ArrayRef {
    let t = batch.text(7);
    let values = column::dense(batch.rows, |row| scalar::char_length(t.value(row)));
    column::from_i32(values, column::all_valid(&[t.nulls]))
}

/// `octet_length(s)`
fn bytes_length(batch: &Batch) -> ArrayRef {
    let s = batch.text(8);
    let values = column::dense(batch.rows, |row| scalar::octet_length(s.value(row)));
    column::from_i32(values, None)
}

/// `starts_with(t, s)`
fn starts(batch: &Batch) -> ArrayRef {
    let t = batch.text(7);
    let s = batch.text(8);
    let values = column::dense_bool(
        batch.rows,
        |row| scalar::starts_with(t.value(row), s.value(row)),
    );
    column::from_bool(values, column::all_valid(&[t.nulls]))
}

/// `ends_with(s, 'z')`
fn ends(batch: &Batch) -> ArrayRef {
    let s = batch.text(8);
    let values = column::dense_bool(
        batch.rows,
        |row| scalar::ends_with(s.value(row), "z"),
    );
    column::from_bool(values, None)
}

/// `contains(s, 'm')`
fn has(batch: &Batch) -> ArrayRef {
    let s = batch.text(8);
    let values = column::dense_bool(
        batch.rows,
        |row| scalar::contains(s.value(row), "m"),
    );
    column::from_bool(values, None)
}

/// `strpos(t, 'x')`
fn position(batch: &Batch) -> ArrayRef {
    let t = batch.text(7);
    let values = column::dense(batch.rows, |row| scalar::strpos(t.value(row), "x"));
    column::from_i32(values, column::all_valid(&[t.nulls]))
}

/// `substr(t, 2)`
fn tail(batch: &Batch) -> ArrayRef {
    let t = batch.text(7);
    column::dense_text(
        batch.rows,
        |row| scalar::substr(t.value(row), 2i64),
        column::all_valid(&[t.nulls]),
    )
}

/// `substr(t, 2, j)`
fn middle(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let t = batch.text(7);
    let j = batch.i64(1);
    let errors = Errors::new();
    let result = column::dense_text_opt(
        batch.rows,
        |row| t.get(row).map(|x| scalar::substr_len(x, 2i64, j.value(row), &errors)),
    );
    errors.check()?;
    Ok(result)
}

/// `left(s, 3)`
fn left(batch: &Batch) -> ArrayRef {
    let s = batch.text(8);
    column::dense_text(batch.rows, |row| scalar::left(s.value(row), 3i64), None)
}

/// `right(btrim(ltrim(rtrim(s))), i)`
fn right(batch: &Batch) -> ArrayRef {
    let s = batch.text(8);
    let i = batch.i64(0);
    column::dense_text(
        batch.rows,
        |row| {
            scalar::right(
                scalar::trim(scalar::trim_start(scalar::trim_end(s.value(row)))),
                i.value(row),
            )
        },
        column::all_valid(&[i.nulls]),
    )
}

/// `split_part(t, ',', 1)`
fn part(batch: &Batch) -> Result<ArrayRef, TaskError> {
    let t = batch.text(7);
    let errors = Errors::new();
    let result = column::dense_text(
        batch.rows,
        |row| scalar::split_part(t.value(row), ",", 1i64, &errors),
        column::all_valid(&[t.nulls]),
    );
    errors.check()?;
    Ok(result)
}

/// `date_trunc('month', at)`
fn month_start(batch: &Batch) -> ArrayRef {
    let at = batch.i64(11);
    let values = column::dense(
        batch.rows,
        |row| scalar::date_trunc_month(at.value(row), TimeUnit::Microsecond),
    );
    column::from_timestamp(
        values,
        column::all_valid(&[at.nulls]),
        TimeUnit::Microsecond,
        None,
    )
}

/// `date_trunc('week', day)`
fn week_start(batch: &Batch) -> ArrayRef {
    let day = batch.i32(10);
    let values = column::dense(
        batch.rows,
        |row| scalar::date_trunc_days_week(day.value(row)),
    );
    column::from_date(values, column::all_valid(&[day.nulls]))
}

/// `date_trunc('hour', day)`
fn day_itself(batch: &Batch) -> ArrayRef {
    let day = batch.i32(10);
    let values = column::dense(batch.rows, |row| day.value(row));
    column::from_date(values, column::all_valid(&[day.nulls]))
}

/// `date_part('year', at)`
fn year(batch: &Batch) -> ArrayRef {
    let at = batch.i64(11);
    let values = column::dense(
        batch.rows,
        |row| scalar::date_part_year(at.value(row), TimeUnit::Microsecond),
    );
    column::from_i32(values, column::all_valid(&[at.nulls]))
}

/// `date_part('dow', day)`
fn weekday(batch: &Batch) -> ArrayRef {
    let day = batch.i32(10);
    let values = column::dense(
        batch.rows,
        |row| scalar::date_part_days_dow(day.value(row)),
    );
    column::from_i32(values, column::all_valid(&[day.nulls]))
}

/// `date_part('hour', day)`
fn hour_of_day(batch: &Batch) -> ArrayRef {
    let day = batch.i32(10);
    let values = column::dense(batch.rows, |_| 0i32);
    column::from_i32(values, column::all_valid(&[day.nulls]))
}

/// `date_part('epoch', at)`
fn epoch(batch: &Batch) -> ArrayRef {
    let at = batch.i64(11);
    let values = column::dense(
        batch.rows,
        |row| scalar::date_part_epoch(at.value(row), TimeUnit::Microsecond),
    );
    column::from_f64(values, column::all_valid(&[at.nulls]))
}

/// `date_part('nanosecond', at)`
fn nanosecond(batch: &Batch) -> ArrayRef {
    let at = batch.i64(11);
    let values = column::dense(
        batch.rows,
        |row| scalar::date_part_nanosecond(at.value(row), TimeUnit::Microsecond),
    );
    column::from_i64(values, column::all_valid(&[at.nulls]))
}

/// `at + INTERVAL '90 seconds'`
fn later(batch: &Batch) -> ArrayRef {
    let at = batch.i64(11);
    let values = column::dense(
        batch.rows,
        |row| scalar::add_nanos(at.value(row), TimeUnit::Microsecond, 90_000_000_000),
    );
    column::from_timestamp(
        values,
        column::all_valid(&[at.nulls]),
        TimeUnit::Microsecond,
        None,
    )
}

/// `point.x * 2.0`
fn twice_x(batch: &Batch) -> ArrayRef {
    let point_x = batch.path(&[13, 0]);
    let point_x = column::f64(&point_x);
    let values = column::dense(batch.rows, |row| point_x.value(row) * 2.0);
    column::from_f64(values, column::all_valid(&[point_x.nulls]))
}

/// `point.name IS NULL`
fn name_missing(batch: &Batch) -> ArrayRef {
    let point_name = batch.path(&[13, 1]);
    let point_name = column::text(&point_name);
    let values = column::dense_bool(batch.rows, |row| point_name.is_null(row));
    column::from_bool(values, None)
}

/// `amount > 10.00`
fn dear(batch: &Batch) -> ArrayRef {
    let amount = batch.decimal(12);
    let values = column::dense_bool(batch.rows, |row| amount.value(row) > 1000);
    column::from_bool(values, column::all_valid(&[amount.nulls]))
}

/// `-amount`
fn owed(batch: &Batch) -> ArrayRef {
    let amount = batch.decimal(12);
    let values = column::dense(batch.rows, |row| amount.value(row).wrapping_neg());
    column::from_decimal(values, column::all_valid(&[amount.nulls]), 10, 2)
}

/// `type + x`
fn type_(batch: &Batch) -> ArrayRef {
    let type_ = batch.i32(15);
    let x2 = batch.i32(16);
    let values = column::dense(
        batch.rows,
        |row| type_.value(row).wrapping_add(x2.value(row)),
    );
    column::from_i32(values, column::all_valid(&[type_.nulls, x2.nulls]))
}

/// `NULL`
fn null_text(batch: &Batch) -> ArrayRef {
    column::nulls_of(&ScalarType::Utf8, batch.rows)
}

/// `'hello \u{202e}\ "world"'`
fn greeting(batch: &Batch) -> ArrayRef {
    column::repeat(&column::from_text(&[Some("hello \u{202e}\\ \"world\"")]), batch.rows)
}

/// `X'610062'`
fn blob(batch: &Batch) -> ArrayRef {
    column::repeat(&column::from_binary(&[Some(b"a\0b")]), batch.rows)
}

/// `TRUE`
fn yes(batch: &Batch) -> ArrayRef {
    column::repeat(&column::from_bool(column::dense_bool(1, |_| true), None), batch.rows)
}

/// `-inf`
fn real(batch: &Batch) -> ArrayRef {
    column::repeat(&column::from_f32(vec![f32::NEG_INFINITY], None), batch.rows)
}

/// `INTERVAL '-1 days 3600 seconds'`
fn an_hour(batch: &Batch) -> ArrayRef {
    column::repeat(
        &column::from_interval(
            vec![IntervalMonthDayNano::new(0, - 1, 3_600_000_000_000)],
            None,
        ),
        batch.rows,
    )
}

/// `[1, NULL]`
fn a_list(batch: &Batch) -> ArrayRef {
    column::repeat(
        &column::list(
            &ScalarType::Int64,
            &[
                column::from_i64(vec![1i64], None),
                column::nulls_of(&ScalarType::Int64, 1),
            ],
        ),
        batch.rows,
    )
}

/// `{a: 1}`
fn a_struct(batch: &Batch) -> ArrayRef {
    column::repeat(
        &column::from_struct(&[("a", column::from_i8(vec![1i8], None), true)], None),
        batch.rows,
    )
}

/// `TIMESTAMP '1970-01-01 00:00:00'`
fn epoch_start(batch: &Batch) -> ArrayRef {
    column::repeat(
        &column::from_timestamp(vec![0i64], None, TimeUnit::Nanosecond, None),
        batch.rows,
    )
}
