//! Parquet files: only the wanted leaves of the wanted row groups are read.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow::datatypes::{DataType, Fields};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelectionPolicy, RowSelector,
};
use schema::{Field, ScalarType, Schema};
use worker_lib::connector::SourceCounters;
use worker_lib::{Batch, TaskError};

use crate::listing::Found;
use crate::position::Position;
use crate::text::take_lag;
use crate::{convert, io_error, position};

/// A file whose row groups are shared out.
pub(crate) struct ParquetFile {
    file: Found,
    /// As positions have it.
    pub(crate) name: String,
    opened: File,
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    pub(crate) fn open(file: Found) -> Result<Self, TaskError> {
        let opened = File::open(&file.path).map_err(|error| io_error("open", &file.path, &error))?;
        let metadata = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new().with_skip_arrow_metadata(false))
            .map_err(|error| TaskError::user(format!("cannot read \"{}\" as Parquet: {error}", file.path.display())))?;
        let name = position::name(&file.path);
        Ok(ParquetFile { file, name, opened, metadata })
    }

    pub(crate) fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The row group `index`, of which the first `given` rows were given out before a restart.
    pub(crate) fn group(&self, index: usize, given: u64) -> Result<Group, TaskError> {
        let groups = self.metadata.metadata().row_groups();
        let rows = groups.get(index).map_or(0, |group| group.num_rows().unsigned_abs());
        if given > rows {
            return Err(position::shrunk(&self.file.path, rows, given));
        }
        Ok(Group { index, given, rows })
    }

    /// Starts to read `schema`'s columns of some row groups.
    pub(crate) fn read(self, groups: Vec<Group>, schema: &Schema, rows: usize) -> Result<Rows, TaskError> {
        let wrong = |reason: &str| TaskError::user(format!("\"{}\" {reason}", self.file.path.display()));
        let have = self.metadata.schema().fields();
        convert::check(&schema.fields, have, "").map_err(|reason| wrong(&reason))?;
        let mut leaves = Vec::new();
        let mut next = 0;
        wanted_leaves(&schema.fields, have, &mut next, &mut leaves);
        let bytes: i64 = groups
            .iter()
            .map(|group| self.metadata.metadata().row_group(group.index))
            .flat_map(|group| leaves.iter().map(|leaf| group.column(*leaf).compressed_size()))
            .sum();
        let mask = ProjectionMask::leaves(self.metadata.parquet_schema(), leaves);
        let total: usize = groups.iter().map(|group| (group.rows - group.given) as usize).sum();
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.opened, self.metadata)
            .with_projection(mask)
            .with_row_groups(groups.iter().map(|group| group.index).collect())
            .with_batch_size(rows.max(1));
        if groups.iter().any(|group| group.given > 0) {
            let selection: RowSelection = groups.iter().flat_map(Group::selection).collect();
            builder = builder.with_row_selection(selection).with_row_selection_policy(RowSelectionPolicy::Selectors);
        }
        let reader = builder
            .build()
            .map_err(|error| TaskError::user(format!("cannot read \"{}\": {error}", self.file.path.display())))?;
        let share = if groups.is_empty() { 0 } else { self.file.bytes };
        Ok(Rows {
            file: self.file,
            name: self.name,
            reader,
            schema: schema.clone(),
            groups,
            at: 0,
            bytes: bytes.unsigned_abs(),
            share,
            total,
            read: 0,
        })
    }
}

/// A row group of a file, and how many of its rows have been given out.
pub(crate) struct Group {
    index: usize,
    given: u64,
    rows: u64,
}

impl Group {
    fn selection(&self) -> [RowSelector; 2] {
        [RowSelector::skip(self.given as usize), RowSelector::select((self.rows - self.given) as usize)]
    }
}

/// Leaves of `have` that hold something of `want`. `next` is the leaf at which `have` begins.
fn wanted_leaves(want: &[Field], have: &Fields, next: &mut usize, leaves: &mut Vec<usize>) {
    for field in have {
        let wanted = want.iter().find(|want| {
            convert::find(have, &want.name).is_some_and(|found| Arc::ptr_eq(found, field) || found == field)
        });
        leaves_of(wanted.map(|field| &field.ty), field.data_type(), next, leaves);
    }
}

fn leaves_of(want: Option<&ScalarType>, have: &DataType, next: &mut usize, leaves: &mut Vec<usize>) {
    match have {
        DataType::Struct(fields) => match want {
            Some(ScalarType::Struct(members)) if !members.is_empty() => wanted_leaves(members, fields, next, leaves),
            Some(ScalarType::Struct(_)) => {
                // Nothing but whether it is null: any leaf tells.
                leaves.push(*next);
                wanted_leaves(&[], fields, next, leaves);
            }
            _ => wanted_leaves(&[], fields, next, leaves),
        },
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let inner = match want {
                Some(ScalarType::List(inner)) => Some(&**inner),
                _ => None,
            };
            leaves_of(inner, item.data_type(), next, leaves);
        }
        DataType::Map(entries, _) => {
            let count = leaf_count(entries.data_type());
            if want.is_some() {
                leaves.extend(*next..*next + count);
            }
            *next += count;
        }
        _ => {
            if want.is_some() {
                leaves.push(*next);
            }
            *next += 1;
        }
    }
}

fn leaf_count(ty: &DataType) -> usize {
    match ty {
        DataType::Struct(fields) => fields.iter().map(|field| leaf_count(field.data_type())).sum(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => leaf_count(item.data_type()),
        _ => 1,
    }
}

/// Rows being read.
pub(crate) struct Rows {
    file: Found,
    name: String,
    reader: ParquetRecordBatchReader,
    schema: Schema,
    /// What is read, in order; those before `at` have been given out.
    groups: Vec<Group>,
    at: usize,
    /// Compressed bytes of what is read, and what they count for in the lag.
    bytes: u64,
    share: u64,
    total: usize,
    read: usize,
}

impl Rows {
    /// The next rows, if there are more. A batch may end in another row group than it begins in.
    pub(crate) fn next(
        &mut self,
        counters: &SourceCounters,
        position: &mut Position,
    ) -> Result<Option<Batch>, TaskError> {
        let wrong = |reason: String| TaskError::user(format!("cannot read \"{}\": {reason}", self.file.path.display()));
        let Some(batch) = self.reader.next().transpose().map_err(|error| wrong(error.to_string()))? else {
            // Those that are left had no rows to give.
            self.groups[self.at..].iter().for_each(|group| position.finish(&self.name, group.index));
            return Ok(None);
        };
        let columns = self.schema.fields.iter().map(|field| {
            let fields = batch.schema_ref().fields();
            let exact = fields.iter().position(|have| *have.name() == field.name);
            let index = exact.or_else(|| fields.iter().position(|have| have.name().eq_ignore_ascii_case(&field.name)));
            let index = index.ok_or_else(|| format!("column \"{}\" is gone", field.name))?;
            convert::convert(batch.column(index), field)
        });
        let columns = columns.collect::<Result<Vec<_>, String>>().map_err(wrong)?;
        self.count(batch.num_rows(), counters);
        self.give(batch.num_rows() as u64, position);
        Ok(Some(Batch::new(columns, batch.num_rows())))
    }

    fn give(&mut self, mut rows: u64, position: &mut Position) {
        while rows > 0
            && let Some(group) = self.groups.get_mut(self.at)
        {
            let given = rows.min(group.rows - group.given);
            group.given += given;
            rows -= given;
            if group.given < group.rows {
                position.give(&self.name, group.index, group.given);
            } else {
                position.finish(&self.name, group.index);
                self.at += 1;
            }
        }
    }

    /// Bytes count as their rows come.
    fn count(&mut self, rows: usize, counters: &SourceCounters) {
        let part = |whole: u64, rows: usize| (u128::from(whole) * rows as u128 / self.total.max(1) as u128) as u64;
        let before = self.read;
        self.read += rows;
        counters.bytes.fetch_add(part(self.bytes, self.read) - part(self.bytes, before), Relaxed);
        take_lag(counters, part(self.share, self.read) - part(self.share, before));
    }
}
