//! Stage 2 of the pipeline, `filter_to_some`.

use worker_lib::{column, scalar, Batch, Stage, StageContext, TaskError};
use worker_lib::column::ArrayRef;
use worker_lib::scalar::Errors;
use worker_lib::select::Selection;

/// Stage 2, fused from:
/// - rows of stage 0
/// - `filter 10 / i > 1 AND i > 1 AND f < 1.5 AND t = 't' AND day IS NOT NULL AND flag`
/// - `filter point.name = 'p'`
/// - `project i, point.name AS point_name, i / j AS ratio, substr(t, 1, 1) AS first, flag AND u < 7 AS both, coalesce(bytes, X'01') AS bytes, CAST(i AS DOUBLE) AS big`
/// - `sink some (stdout)`
pub(crate) struct FilterToSome;

/// A task's instance.
pub(crate) fn new() -> Box<dyn Stage> {
    Box::new(FilterToSome)
}

impl Stage for FilterToSome {
    fn on_batch(
        &mut self,
        batch: Batch,
        cx: &mut StageContext,
    ) -> Result<(), TaskError> {
        let mut selection = filter(&batch)?;
        if selection.is_empty() {
            return Ok(());
        }
        filter2(&batch, &mut selection);
        if selection.is_empty() {
            return Ok(());
        }
        let batch = project(&batch, &selection)?;
        cx.emit(batch);
        Ok(())
    }
}

/// `10 / i > 1 AND i > 1 AND f < 1.5 AND t = 't' AND day IS NOT NULL AND flag`
fn filter(batch: &Batch) -> Result<Selection, TaskError> {
    let i = batch.i64(0);
    let f = batch.f64(4);
    let flag = batch.bool(6);
    let t = batch.text(7);
    let day = batch.i32(10);
    let errors = Errors::new();
    let valid2 = column::all_valid(&[i.nulls, f.nulls, flag.nulls]);
    let mut selection = Selection::filter(
        batch.rows,
        valid2.as_ref(),
        |row| (i.value(row) > 1) & scalar::lt(f.value(row), 1.5) & flag.value(row),
    );
    selection.retain(t.nulls, |row| t.value(row) == "t");
    selection
        .retain(
            None,
            |row| {
                i.get(row).map(|x| scalar::div(10i64, x, &errors)).map(|x| x > 1)
                    == Some(true)
            },
        );
    selection.retain(None, |row| !day.is_null(row));
    errors.check()?;
    Ok(selection)
}

/// `point.name = 'p'`
fn filter2(batch: &Batch, selection: &mut Selection) {
    let point_name = batch.path(&[13, 1]);
    let point_name = column::text(&point_name);
    selection.retain(point_name.nulls, |row| point_name.value(row) == "p");
}

/// `SELECT`
fn project(batch: &Batch, selection: &Selection) -> Result<Batch, TaskError> {
    let columns = [
        selection.take(batch.array(0)),
        selection.take(&batch.path(&[13, 1])),
        ratio(batch, selection)?,
        first(batch, selection)?,
        both(batch, selection),
        bytes(batch, selection),
        big(batch, selection),
    ];
    Ok(Batch::new(columns.into(), selection.len()))
}

/// `i / j`
fn ratio(batch: &Batch, selection: &Selection) -> Result<ArrayRef, TaskError> {
    let i = batch.i64(0);
    let j = batch.i64(1);
    let errors = Errors::new();
    let (values, nulls) = selection
        .map_opt(|row| i.get(row).map(|x| scalar::div(x, j.value(row), &errors)));
    errors.check()?;
    Ok(column::from_i64(values, nulls))
}

/// `substr(t, 1, 1)`
fn first(batch: &Batch, selection: &Selection) -> Result<ArrayRef, TaskError> {
    let t = batch.text(7);
    let errors = Errors::new();
    let result = selection
        .map_text(
            |row| scalar::substr_len(t.value(row), 1i64, 1i64, &errors),
            selection.valid(&[t.nulls]),
        );
    errors.check()?;
    Ok(result)
}

/// `flag AND u < 7`
fn both(batch: &Batch, selection: &Selection) -> ArrayRef {
    let flag = batch.bool(6);
    let u = batch.u32(3);
    let (values, nulls) = selection
        .map_bool_opt(|row| scalar::and(flag.get(row), || u.get(row).map(|x| x < 7)));
    column::from_bool(values, nulls)
}

/// `coalesce(bytes, X'01')`
fn bytes(batch: &Batch, selection: &Selection) -> ArrayRef {
    let bytes = batch.binary(9);
    selection.map_binary(|row| bytes.get(row).unwrap_or(b"\x01".as_slice()), None)
}

/// `CAST(i AS DOUBLE)`
fn big(batch: &Batch, selection: &Selection) -> ArrayRef {
    let i = batch.i64(0);
    let values = selection.map(|row| i.value(row) as f64);
    column::from_f64(values, selection.valid(&[i.nulls]))
}
