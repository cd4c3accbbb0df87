//! JSON lines into columns.
//!
//! What is accepted, beyond RFC 8259 itself:
//! - each line is one document; blank lines are skipped; a byte order mark at the start of a file is skipped;
//! - a key that is a column's name in another case is that column's, unless the column has a value already; a key that
//!   occurs twice has its last value; a key that no column has is skipped;
//! - null and a missing key are null; for a column that is NOT NULL the row is bad;
//! - numbers may stand in quotes, with nothing else in them; they must fit: an integer column does not take `1.0`, a
//!   decimal column never rounds, a float column takes any finite number;
//! - a timestamp is RFC 3339 text (a space for the `T`, seconds and offset may be absent; UTC where there is no
//!   offset) or a number of milliseconds since the Unix epoch, whatever `json.timestamp_format` says about writing;
//!   digits beyond the column's precision are dropped;
//! - dates, times, ISO 8601 intervals are text; binary is base64 text; a JSON column keeps the value's own text.
//!
//! Cost: about one pass over the bytes. See `names` for keys and `scan` for strings.

use arrow::array::{Array, ArrayRef, StructArray};
use schema::{ScalarType, Schema, TimeUnit};

use super::names::{Member, Names};
use super::scan::{Fault, Scan, Scanner};
use crate::column::{Column, Data, seal_offsets};
use crate::options::{BadData, DecimalEncoding, JsonOptions};
use crate::{BadRow, base64, time};

/// Bytes that are checked for UTF-8 at once.
const UTF8_BLOCK: usize = 32 * 1024;

const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

#[derive(Debug)]
pub(crate) struct Decoder {
    columns: Vec<Column>,
    shape: Shape,
    rows: usize,
    line: u64,
    bad_rows: u64,
    bad_data: BadData,
    max_line_bytes: usize,
    decimal_bytes: bool,
    exact_keys: bool,
    scratch: Vec<u8>,
}

/// What a document is.
#[derive(Debug)]
enum Shape {
    /// An object with the columns as its members.
    Object(Names),
    /// The value of the only column.
    Value,
    /// An object whose member `payload` is the object.
    Envelope(Names),
}

impl Decoder {
    pub(crate) fn new(
        options: &JsonOptions,
        schema: &Schema,
        bad_data: BadData,
        max_line_bytes: Option<usize>,
    ) -> Result<Self, String> {
        let column = |field: &schema::Field| {
            Column::new(&field.ty, field.nullable).map_err(|reason| format!("column \"{}\": {reason}", field.name))
        };
        let (columns, shape) = if options.unstructured {
            crate::raw::check_single_column(schema, &[ScalarType::Json, ScalarType::Utf8], "json.unstructured")?;
            // The document's text, whichever of the two types it has in SQL.
            let columns = schema.fields.iter().map(|field| Column::new(&ScalarType::Json, field.nullable));
            (columns.collect::<Result<Vec<_>, _>>()?, Shape::Value)
        } else if options.include_schema {
            let payload = Column::new(&ScalarType::Struct(schema.fields.clone()), false)?;
            (vec![payload], Shape::Envelope(Names::new(["payload"].into_iter())))
        } else {
            let columns = schema.fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
            (columns, Shape::Object(Names::new(schema.fields.iter().map(|field| field.name.as_str()))))
        };
        Ok(Decoder {
            columns,
            shape,
            rows: 0,
            line: 0,
            bad_rows: 0,
            bad_data,
            max_line_bytes: max_line_bytes.unwrap_or(usize::MAX),
            decimal_bytes: options.decimal_encoding == DecimalEncoding::Bytes,
            exact_keys: options.exact_keys,
            scratch: Vec::new(),
        })
    }

    pub(crate) fn start(&mut self) {
        self.line = 0;
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bad_rows(&self) -> u64 {
        self.bad_rows
    }

    pub(crate) fn take(&mut self) -> Result<Vec<ArrayRef>, String> {
        self.rows = 0;
        let arrays = self.columns.iter_mut().map(Column::take).collect::<Result<Vec<_>, _>>()?;
        if let Shape::Envelope(_) = self.shape {
            let payload = arrays[0].as_any().downcast_ref::<StructArray>().ok_or("the payload is a struct")?;
            return Ok(payload.columns().to_vec());
        }
        Ok(arrays)
    }

    pub(crate) fn decode(&mut self, input: &[u8], last: bool, max_rows: usize) -> Result<usize, BadRow> {
        let whole = if last { input.len() } else { memchr::memrchr(b'\n', input).map_or(0, |end| end + 1) };
        let input = &input[..whole];
        let mut scanner = Scanner::new(input);
        if self.line == 0 && input.starts_with(BYTE_ORDER_MARK) {
            scanner.at = BYTE_ORDER_MARK.len();
        }
        let mut utf8_until = scanner.at;
        while self.rows < max_rows && scanner.at < input.len() {
            let start = scanner.at;
            self.line += 1;
            scanner.skip_space();
            if scanner.at_line_end() {
                scanner.at = (scanner.at + 1).min(input.len());
                continue;
            }
            match self.line(&mut scanner, start, &mut utf8_until) {
                Ok(()) => self.rows += 1,
                Err(fault) => {
                    self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
                    let end = memchr::memchr(b'\n', &input[start..]).map_or(input.len(), |end| start + end + 1);
                    scanner.at = end;
                    utf8_until = utf8_until.max(end);
                    match self.bad_data {
                        BadData::Fail => return Err(self.bad_row(&fault, start)),
                        BadData::Drop => self.bad_rows += 1,
                    }
                }
            }
        }
        Ok(scanner.at.min(input.len()))
    }

    #[cold]
    fn bad_row(&self, fault: &Fault, start: usize) -> BadRow {
        let mut reason = fault.reason.clone();
        if !fault.path.is_empty() {
            let path: Vec<&str> = fault.path.iter().rev().map(String::as_str).collect();
            reason = format!("column \"{}\": {reason}", path.join("."));
        }
        BadRow { line: self.line, column: (fault.at - start.min(fault.at)) as u64 + 1, reason }
    }

    /// Reads one line with its end.
    #[inline]
    fn line(&mut self, scanner: &mut Scanner<'_>, start: usize, utf8_until: &mut usize) -> Scan<()> {
        scanner.depth = 0;
        let mut reader = Reader {
            scanner: &mut *scanner,
            scratch: &mut self.scratch,
            decimal_bytes: self.decimal_bytes,
            exact_keys: self.exact_keys,
        };
        match &mut self.shape {
            Shape::Object(names) | Shape::Envelope(names) => reader.object(names, &mut self.columns, self.rows)?,
            Shape::Value => reader.value(&mut self.columns[0])?,
        }
        scanner.skip_space();
        if !scanner.at_line_end() {
            return Err(scanner.expected("the end of the line"));
        }
        if scanner.at - start > self.max_line_bytes {
            return Err(scanner.fault(start, format!("line is longer than {} bytes", self.max_line_bytes)));
        }
        if *utf8_until < scanner.at {
            check_utf8(scanner, utf8_until)?;
        }
        scanner.at = (scanner.at + 1).min(scanner.input.len());
        Ok(())
    }
}

/// Moves `until` to where the line has been read, and further where it costs nothing.
fn check_utf8(scanner: &Scanner<'_>, until: &mut usize) -> Scan<()> {
    let end = scanner.at.max((*until + UTF8_BLOCK).min(scanner.input.len()));
    match std::str::from_utf8(&scanner.input[*until..end]) {
        Ok(_) => *until = end,
        Err(error) => {
            *until += error.valid_up_to();
            if *until < scanner.at {
                return Err(scanner.fault(*until, "text is not valid UTF-8"));
            }
        }
    }
    Ok(())
}

/// A scanner that fills columns.
struct Reader<'a, 'b> {
    scanner: &'a mut Scanner<'b>,
    scratch: &'a mut Vec<u8>,
    decimal_bytes: bool,
    exact_keys: bool,
}

impl Reader<'_, '_> {
    /// Reads an object into its members, each of which gets value number `row`.
    fn object(&mut self, names: &mut Names, members: &mut [Column], row: usize) -> Scan<()> {
        if self.scanner.peek() != b'{' {
            return Err(self.scanner.expected("an object"));
        }
        let open = self.scanner.at;
        let mut missing = members.len();
        let mut position = 0;
        let mut more = self.scanner.enter(b'}')?;
        while more {
            match self.key(names, position)? {
                None => self.scanner.skip_value()?,
                Some(Member { index, exact }) => {
                    let column = &mut members[index];
                    let again = column.len() > row;
                    if again && !exact {
                        self.scanner.skip_value()?;
                    } else {
                        if again {
                            column.truncate(row);
                        } else {
                            missing -= 1;
                        }
                        if let Err(mut fault) = self.value(column) {
                            fault.path.push(names.name(index));
                            return Err(fault);
                        }
                    }
                }
            }
            position += 1;
            more = self.scanner.another(b'}')?;
        }
        if missing > 0 {
            self.fill_missing(names, members, row, open)?;
        }
        Ok(())
    }

    fn fill_missing(&mut self, names: &Names, members: &mut [Column], row: usize, open: usize) -> Scan<()> {
        for (member, column) in members.iter_mut().enumerate() {
            if column.len() == row && column.append_null().is_err() {
                let mut fault = self.scanner.fault(open, "missing, and the column is NOT NULL");
                fault.path.push(names.name(member));
                return Err(fault);
            }
        }
        Ok(())
    }

    /// Reads a key, its colon and the space after it. Gives the member of that name.
    #[inline]
    fn key(&mut self, names: &mut Names, position: usize) -> Scan<Option<Member>> {
        if let Some((after, member)) = names.expect(self.scanner.input, self.scanner.at, position) {
            self.scanner.at = after;
            self.scanner.skip_space();
            return Ok(member);
        }
        self.other_key(names, position)
    }

    fn other_key(&mut self, names: &mut Names, position: usize) -> Scan<Option<Member>> {
        if self.scanner.peek() != b'"' {
            return Err(self.scanner.expected("a key in quotes"));
        }
        let start = self.scanner.at;
        let text = self.scanner.string()?;
        let member = if text.escaped {
            self.scratch.clear();
            self.scanner.unescape(text, self.scratch)?;
            names.find(self.scratch)
        } else {
            names.find(&self.scanner.input[text.start..text.end])
        };
        let member = member.filter(|member| member.exact || !self.exact_keys);
        self.scanner.skip_space();
        let colon = self.scanner.at;
        self.scanner.colon()?;
        names.remember(position, &self.scanner.input[start..=colon], member);
        Ok(member)
    }

    /// Reads one value into `column`.
    #[inline]
    fn value(&mut self, column: &mut Column) -> Scan<()> {
        let start = self.scanner.at;
        let byte = self.scanner.peek();
        if byte == b'n' {
            self.scanner.literal("null")?;
            return column.append_null().map_err(|reason| self.scanner.fault(start, reason));
        }
        let is_number = byte == b'-' || byte.is_ascii_digit();
        match &mut column.data {
            Data::Int64(values) if is_number => values.push(self.integer(&column.ty, i64::MIN, i64::MAX)?),
            Data::Int32(values) if is_number => values.push(self.small(&column.ty, i32::MIN, i32::MAX)?),
            Data::Float64(values) if is_number => {
                let number = self.scanner.number()?;
                let Some(value) = self.scanner.to_f64(&number) else {
                    return Err(self.out_of_range(start, &column.ty));
                };
                values.push(value);
            }
            Data::Text(texts) if byte == b'"' => {
                let text = self.scanner.string()?;
                if text.escaped {
                    self.scanner.unescape(text, &mut texts.bytes)?;
                } else {
                    texts.bytes.extend_from_slice(&self.scanner.input[text.start..text.end]);
                }
                texts.seal().map_err(|reason| self.scanner.fault(start, reason))?;
            }
            Data::Timestamp { values, unit, needs_offset } => {
                let (unit, needs_offset) = (*unit, *needs_offset);
                values.push(self.timestamp(&column.ty, unit, needs_offset)?);
            }
            Data::Bool(values) if byte == b't' => {
                self.scanner.literal("true")?;
                values.append(true);
            }
            Data::Bool(values) if byte == b'f' => {
                self.scanner.literal("false")?;
                values.append(false);
            }
            _ => return self.rarer_value(column),
        }
        column.nulls.append_non_null();
        Ok(())
    }

    /// The types and mistakes that [`Self::value`] leaves over.
    #[inline(never)]
    fn rarer_value(&mut self, column: &mut Column) -> Scan<()> {
        let start = self.scanner.at;
        let byte = self.scanner.peek();
        let is_number = byte == b'-' || byte.is_ascii_digit();
        let ty = &column.ty;
        match &mut column.data {
            Data::Null => self.scanner.skip_value()?,
            Data::Json(texts) => {
                self.scanner.skip_value()?;
                texts.bytes.extend_from_slice(&self.scanner.input[start..self.scanner.at]);
                texts.seal().map_err(|reason| self.scanner.fault(start, reason))?;
            }
            Data::Int8(values) if is_number => values.push(self.small(ty, i8::MIN, i8::MAX)?),
            Data::Int16(values) if is_number => values.push(self.small(ty, i16::MIN, i16::MAX)?),
            Data::UInt8(values) if is_number => values.push(self.small(ty, u8::MIN, u8::MAX)?),
            Data::UInt16(values) if is_number => values.push(self.small(ty, u16::MIN, u16::MAX)?),
            Data::UInt32(values) if is_number => values.push(self.small(ty, u32::MIN, u32::MAX)?),
            Data::UInt64(values) if is_number => values.push(self.unsigned(ty)?),
            Data::Float32(values) if is_number => {
                let number = self.scanner.number()?;
                let Some(value) = self.scanner.to_f32(&number) else { return Err(self.out_of_range(start, ty)) };
                values.push(value);
            }
            Data::Duration { values, .. } if is_number => values.push(self.integer(ty, i64::MIN, i64::MAX)?),
            Data::Decimal { .. } if is_number => {
                let number = self.scanner.number()?;
                let written = self.scanner.written(&number);
                return column.append_text(written).map_err(|reason| self.scanner.fault(start, reason));
            }
            Data::Decimal { values, precision, .. } if byte == b'"' && self.decimal_bytes => {
                let text = self.text()?;
                self.scratch.clear();
                let value = base64::decode(&text, self.scratch).and_then(|()| from_big_endian(self.scratch));
                let limit = 10i128.checked_pow(u32::from(*precision)).unwrap_or(i128::MAX);
                match value {
                    Some(value) if value.unsigned_abs() < limit.unsigned_abs() => values.push(value),
                    Some(_) => return Err(self.out_of_range(start, ty)),
                    None => return Err(self.scanner.fault(start, format!("{ty} expected as base64 of its bytes"))),
                }
            }
            Data::Decimal { .. }
            | Data::Binary(_)
            | Data::Date(_)
            | Data::Time(_)
            | Data::Interval(_)
            | Data::Duration { .. }
                if byte == b'"' =>
            {
                let text = self.text()?;
                return column.append_text(&text).map_err(|reason| self.scanner.fault(start, reason));
            }
            Data::List { offsets, item } if byte == b'[' => {
                self.list(item)?;
                seal_offsets(offsets, item.len()).map_err(|reason| self.scanner.fault(start, reason))?;
            }
            Data::Struct { names, members } if byte == b'{' => {
                let row = column.nulls.len();
                self.object(names, members, row)?;
            }
            Data::Map { offsets, keys, value } if byte == b'{' => {
                self.map(keys, value)?;
                seal_offsets(offsets, value.len()).map_err(|reason| self.scanner.fault(start, reason))?;
            }
            Data::Int8(_)
            | Data::Int16(_)
            | Data::Int32(_)
            | Data::Int64(_)
            | Data::UInt8(_)
            | Data::UInt16(_)
            | Data::UInt32(_)
            | Data::UInt64(_)
            | Data::Float32(_)
            | Data::Float64(_)
                if byte == b'"' =>
            {
                return self.number_in_quotes(column);
            }
            _ => return Err(self.scanner.expected(&ty.to_string())),
        }
        column.nulls.append_non_null();
        Ok(())
    }

    /// Reads a number that stands in quotes, as some writers put large ones: written as JSON has numbers, and nothing
    /// beside it.
    #[inline(never)]
    fn number_in_quotes(&mut self, column: &mut Column) -> Scan<()> {
        let start = self.scanner.at;
        let text = self.text()?;
        let mut inside = Scanner::new(&text);
        if inside.number().is_err() || inside.at < text.len() {
            let reason = format!("{} expected, found \"{}\"", column.ty, crate::column::shorten(&text));
            return Err(self.scanner.fault(start, reason));
        }
        inside.at = 0;
        let mut reader = Reader {
            scanner: &mut inside,
            scratch: &mut *self.scratch,
            decimal_bytes: self.decimal_bytes,
            exact_keys: self.exact_keys,
        };
        let read = reader.value(column);
        read.map_err(|fault| self.scanner.fault(start, fault.reason))
    }

    fn list(&mut self, item: &mut Column) -> Scan<()> {
        let mut more = self.scanner.enter(b']')?;
        while more {
            self.value(item)?;
            more = self.scanner.another(b']')?;
        }
        Ok(())
    }

    fn map(&mut self, keys: &mut crate::column::Texts, value: &mut Column) -> Scan<()> {
        let mut more = self.scanner.enter(b'}')?;
        while more {
            if self.scanner.peek() != b'"' {
                return Err(self.scanner.expected("a key in quotes"));
            }
            let start = self.scanner.at;
            let text = self.scanner.string()?;
            self.scanner.unescape(text, &mut keys.bytes)?;
            keys.seal().map_err(|reason| self.scanner.fault(start, reason))?;
            self.scanner.colon()?;
            self.value(value)?;
            more = self.scanner.another(b'}')?;
        }
        Ok(())
    }

    /// The content of a short string.
    fn text(&mut self) -> Scan<Vec<u8>> {
        let text = self.scanner.string()?;
        let mut out = Vec::with_capacity(text.end - text.start);
        self.scanner.unescape(text, &mut out)?;
        Ok(out)
    }

    /// Reads a whole number between `min` and `max`, which are not wider than `i64`.
    #[inline]
    fn integer(&mut self, ty: &ScalarType, min: i64, max: i64) -> Scan<i64> {
        let start = self.scanner.at;
        let number = self.scanner.number()?;
        if !number.integer {
            return Err(self.not_whole(start, ty));
        }
        let value = if number.exact && number.mantissa <= i64::MAX as u64 {
            let magnitude = number.mantissa as i64;
            if number.negative { -magnitude } else { magnitude }
        } else if number.exact && number.negative && number.mantissa == 1 << 63 {
            i64::MIN
        } else {
            return Err(self.out_of_range(start, ty));
        };
        if value < min || value > max {
            return Err(self.out_of_range(start, ty));
        }
        Ok(value)
    }

    #[inline]
    fn small<T: TryFrom<i64> + Into<i64>>(&mut self, ty: &ScalarType, min: T, max: T) -> Scan<T> {
        let start = self.scanner.at;
        let value = self.integer(ty, min.into(), max.into())?;
        T::try_from(value).map_err(|_| self.out_of_range(start, ty))
    }

    fn unsigned(&mut self, ty: &ScalarType) -> Scan<u64> {
        let start = self.scanner.at;
        let number = self.scanner.number()?;
        if !number.integer {
            return Err(self.not_whole(start, ty));
        }
        let written = self.scanner.written(&number);
        let value = crate::number::parse_integer(written).and_then(|value| u64::try_from(value).ok());
        value.ok_or_else(|| self.out_of_range(start, ty))
    }

    fn timestamp(&mut self, ty: &ScalarType, unit: TimeUnit, needs_offset: bool) -> Scan<i64> {
        let start = self.scanner.at;
        match self.scanner.peek() {
            b'-' | b'0'..=b'9' => {
                let millis = self.integer(ty, i64::MIN, i64::MAX)?;
                time::millis_to_ticks(millis, unit).ok_or_else(|| self.out_of_range(start, ty))
            }
            b'"' => {
                let text = self.scanner.string()?;
                let instant = if text.escaped {
                    self.scratch.clear();
                    self.scanner.unescape(text, self.scratch)?;
                    time::parse_timestamp(self.scratch)
                } else {
                    time::parse_timestamp(&self.scanner.input[text.start..text.end])
                };
                let Some(instant) = instant else {
                    let found = crate::column::shorten(&self.scanner.input[text.start..text.end]);
                    let reason = format!("{ty} expected as RFC 3339 text or Unix milliseconds, found \"{found}\"");
                    return Err(self.scanner.fault(start, reason));
                };
                if needs_offset && !instant.zoned {
                    return Err(self.scanner.fault(start, format!("the offset from UTC that {ty} needs is missing")));
                }
                time::ticks(&instant, unit).ok_or_else(|| self.out_of_range(start, ty))
            }
            _ => Err(self.scanner.expected(&ty.to_string())),
        }
    }

    #[cold]
    fn out_of_range(&self, start: usize, ty: &ScalarType) -> Box<Fault> {
        let found = crate::column::shorten(&self.scanner.input[start..self.scanner.at]);
        self.scanner.fault(start, format!("{found} is out of range for {ty}"))
    }

    #[cold]
    fn not_whole(&self, start: usize, ty: &ScalarType) -> Box<Fault> {
        let found = crate::column::shorten(&self.scanner.input[start..self.scanner.at]);
        self.scanner.fault(start, format!("{ty} expected, found number {found}"))
    }
}

/// Two's complement of at most 16 bytes.
fn from_big_endian(bytes: &[u8]) -> Option<i128> {
    let first = *bytes.first()?;
    if bytes.len() > 16 {
        return None;
    }
    let mut word = [if first >= 0x80 { 0xff } else { 0 }; 16];
    word[16 - bytes.len()..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(word))
}
