//! Delimited text (RFC 4180) into columns and back.
//!
//! Read straight into the wanted columns: other fields are stepped over. A quoted field may hold delimiters, line
//! ends and doubled quotes. A field that is empty and not quoted is null, as is one that equals `csv.null`; in a text
//! column that is NOT NULL an empty field is the empty text. Values are written as in JSON, without its quotes:
//! RFC 3339 timestamps, base64, `true` (also `t`, `1`), plain decimals. Lists, structs and maps are written as JSON
//! and cannot be read.
//!
//! The header's names are matched with the columns' exactly, else without regard to ASCII case.

use arrow::array::ArrayRef;
use schema::{ScalarType, Schema};

use crate::BadRow;
use crate::column::Column;
use crate::json::encode::View;
use crate::options::{BadData, CsvOptions};

#[derive(Debug)]
pub(crate) struct Decoder {
    options: CsvOptions,
    names: Vec<String>,
    columns: Vec<Column>,
    /// For each field of a record, its column. `None`: the header has not been read.
    fields: Option<Vec<Option<usize>>>,
    rows: usize,
    line: u64,
    bad_rows: u64,
    bad_data: BadData,
    max_line_bytes: usize,
    record: Record,
}

/// The fields of the record at hand, quotes and escapes resolved.
#[derive(Debug, Default)]
struct Record {
    bytes: Vec<u8>,
    /// Where each field ends in `bytes`, whether it was quoted, and where it starts in the record.
    fields: Vec<(usize, bool, usize)>,
}

/// How far a record reaches.
enum Extent {
    /// To this byte, its line end included, over that many lines.
    Whole(usize, u64),
    /// The input ends before the record does.
    Open,
    /// It is no CSV at this byte; the next record starts there.
    Bad { at: usize, next: usize, lines: u64, reason: &'static str },
}

impl Decoder {
    pub(crate) fn new(
        options: &CsvOptions,
        schema: &Schema,
        bad_data: BadData,
        max_line_bytes: Option<usize>,
    ) -> Result<Self, String> {
        let mut columns = Vec::with_capacity(schema.len());
        for field in &schema.fields {
            if matches!(
                field.ty,
                ScalarType::Null | ScalarType::List(_) | ScalarType::Struct(_) | ScalarType::Map { .. }
            ) {
                return Err(format!("column \"{}\": type {} cannot be read from csv", field.name, field.ty));
            }
            columns.push(Column::new(&field.ty, field.nullable)?);
        }
        let names: Vec<String> = schema.fields.iter().map(|field| field.name.clone()).collect();
        let mut decoder = Decoder {
            options: options.clone(),
            names,
            columns,
            fields: None,
            rows: 0,
            line: 0,
            bad_rows: 0,
            bad_data,
            max_line_bytes: max_line_bytes.unwrap_or(usize::MAX),
            record: Record::default(),
        };
        if !options.header {
            let header = options.columns.clone();
            decoder.map_header(&header)?;
        }
        Ok(decoder)
    }

    pub(crate) fn start(&mut self) {
        self.line = 0;
        if self.options.header {
            self.fields = None;
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bad_rows(&self) -> u64 {
        self.bad_rows
    }

    pub(crate) fn take(&mut self) -> Result<Vec<ArrayRef>, String> {
        self.rows = 0;
        self.columns.iter_mut().map(Column::take).collect()
    }

    fn map_header<T: AsRef<str>>(&mut self, header: &[T]) -> Result<(), String> {
        let mut fields = vec![None; header.len()];
        for (column, name) in self.names.iter().enumerate() {
            let exact = header.iter().position(|field| field.as_ref() == name);
            let found = exact.or_else(|| header.iter().position(|field| field.as_ref().eq_ignore_ascii_case(name)));
            let Some(found) = found else {
                return Err(format!("the header has no column \"{name}\""));
            };
            fields[found] = Some(column);
        }
        self.fields = Some(fields);
        Ok(())
    }

    pub(crate) fn decode(&mut self, input: &[u8], last: bool, max_rows: usize) -> Result<usize, BadRow> {
        let mut at = 0;
        if self.line == 0 && input.starts_with(&[0xef, 0xbb, 0xbf]) {
            at = 3;
        }
        while self.rows < max_rows && at < input.len() {
            let rest = &input[at..];
            let skipped = match rest {
                [b'\n', ..] => Some(1),
                [b'\r', b'\n', ..] => Some(2),
                [b'\r'] if last => Some(1),
                [first, ..] if self.options.comment == Some(*first) => match memchr::memchr(b'\n', rest) {
                    Some(end) => Some(end + 1),
                    None if last => Some(rest.len()),
                    None => break,
                },
                _ => None,
            };
            if let Some(skipped) = skipped {
                self.line += 1;
                at += skipped;
                continue;
            }
            let (next, lines, result) = match self.record.read(rest, last, &self.options) {
                Extent::Open => break,
                Extent::Bad { at, next, lines, reason } => (next, lines, Err((at, reason.to_owned()))),
                Extent::Whole(next, lines) => (next, lines, self.row(next)),
            };
            let line = self.line + 1;
            self.line += lines;
            at += next;
            if let Err((byte, reason)) = result {
                self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
                // Without its header, no row of the file can be read.
                if self.bad_data == BadData::Fail || self.fields.is_none() {
                    return Err(BadRow { line, column: byte as u64 + 1, reason });
                }
                self.bad_rows += 1;
            }
        }
        Ok(at)
    }

    /// Takes the record at hand, `bytes` long, as a row, or as the header. A fault has the byte where its field
    /// starts.
    fn row(&mut self, bytes: usize) -> Result<(), (usize, String)> {
        let Some(fields) = &self.fields else {
            let header: Vec<String> =
                self.record.iter().map(|(text, ..)| String::from_utf8_lossy(text).trim().to_owned()).collect();
            return self.map_header(&header).map_err(|reason| (0, reason));
        };
        if bytes > self.max_line_bytes {
            return Err((0, format!("line is longer than {} bytes", self.max_line_bytes)));
        }
        let found = self.record.fields.len();
        if found != fields.len() {
            return Err((0, format!("{} fields expected, found {found}", fields.len())));
        }
        for ((text, quoted, start), column) in self.record.iter().zip(fields) {
            let Some(index) = *column else { continue };
            let column = &mut self.columns[index];
            let null = !quoted && (text.is_empty() || text == self.options.null.as_bytes());
            let empty_text = text.is_empty() && !column.nullable && column.ty == ScalarType::Utf8;
            let appended = if null && !empty_text { column.append_null() } else { column.append_text(text) };
            appended.map_err(|reason| (start, format!("column \"{}\": {reason}", self.names[index])))?;
        }
        self.rows += 1;
        Ok(())
    }
}

impl Record {
    fn iter(&self) -> impl Iterator<Item = (&[u8], bool, usize)> {
        let mut from = 0;
        self.fields.iter().map(move |(end, quoted, start)| {
            let text = &self.bytes[from..*end];
            from = *end;
            (text, *quoted, *start)
        })
    }

    /// Reads the record at the start of `input`.
    fn read(&mut self, input: &[u8], last: bool, options: &CsvOptions) -> Extent {
        self.bytes.clear();
        self.fields.clear();
        let mut at = 0;
        let mut lines = 1;
        loop {
            let start = at;
            let quoted = input.get(at) == Some(&options.quote);
            if quoted {
                match self.quoted(input, at + 1, options, &mut lines) {
                    Some(end) => at = end,
                    None if last => {
                        let next = memchr::memchr(b'\n', input).map_or(input.len(), |end| end + 1);
                        return Extent::Bad { at: start, next, lines: 1, reason: "a quoted field is not closed" };
                    }
                    None => return Extent::Open,
                }
            } else {
                let end = memchr::memchr2(options.delimiter, b'\n', &input[at..]).map_or(input.len(), |end| at + end);
                let line_end = input.get(end) != Some(&options.delimiter);
                let text = &input[at..end];
                self.bytes.extend_from_slice(if line_end { text.strip_suffix(b"\r").unwrap_or(text) } else { text });
                at = end;
            }
            self.fields.push((self.bytes.len(), quoted, start));
            match &input[at..] {
                [] if last => return Extent::Whole(at, lines),
                [] | [b'\r'] if !last => return Extent::Open,
                [b'\n', ..] => return Extent::Whole(at + 1, lines),
                [b'\r', b'\n', ..] => return Extent::Whole(at + 2, lines),
                [b'\r'] => return Extent::Whole(at + 1, lines),
                [byte, ..] if *byte == options.delimiter => at += 1,
                _ => {
                    let next = memchr::memchr(b'\n', &input[at..]).map(|end| at + end + 1);
                    return match next {
                        None if !last => Extent::Open,
                        next => {
                            let reason = "a delimiter is expected after the closing quote";
                            Extent::Bad { at, next: next.unwrap_or(input.len()), lines, reason }
                        }
                    };
                }
            }
        }
    }

    /// Reads on after an opening quote. Gives the byte after the closing one; `None`: there is none.
    fn quoted(&mut self, input: &[u8], mut at: usize, options: &CsvOptions, lines: &mut u64) -> Option<usize> {
        let escape = options.escape.unwrap_or(options.quote);
        loop {
            let end = at + memchr::memchr2(options.quote, escape, input.get(at..)?)?;
            let run = &input[at..end];
            *lines += memchr::memchr_iter(b'\n', run).count() as u64;
            self.bytes.extend_from_slice(run);
            let next = input.get(end + 1);
            if input[end] == options.quote && next != Some(&options.quote) {
                return Some(end + 1);
            }
            // A doubled quote, or an escape: the next byte is literal.
            self.bytes.push(*next?);
            at = end + 2;
        }
    }
}

#[derive(Debug)]
pub(crate) struct Encoder {
    options: CsvOptions,
    schema: Schema,
}

impl Encoder {
    pub(crate) fn new(options: &CsvOptions, schema: &Schema) -> Self {
        Encoder { options: options.clone(), schema: schema.clone() }
    }

    pub(crate) fn header(&self, out: &mut Vec<u8>) {
        if !self.options.header {
            return;
        }
        for (i, field) in self.schema.fields.iter().enumerate() {
            if i > 0 {
                out.push(self.options.delimiter);
            }
            self.write_field(field.name.as_bytes(), out);
        }
        out.push(b'\n');
    }

    pub(crate) fn encode(&self, columns: &[ArrayRef], rows: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let views = self.schema.fields.iter().zip(columns).map(|(field, array)| View::new(&field.ty, array));
        let views = views.collect::<Result<Vec<_>, _>>()?;
        let mut field = Vec::new();
        for row in 0..rows {
            for (i, view) in views.iter().enumerate() {
                if i > 0 {
                    out.push(self.options.delimiter);
                }
                if view.is_null(row) {
                    out.extend_from_slice(self.options.null.as_bytes());
                } else {
                    field.clear();
                    view.write_bare(row, &mut field);
                    self.write_field(&field, out);
                }
            }
            out.push(b'\n');
        }
        Ok(())
    }

    /// In quotes where it would else be read as something different.
    fn write_field(&self, text: &[u8], out: &mut Vec<u8>) {
        let CsvOptions { delimiter, quote, escape, comment, null, .. } = &self.options;
        let special =
            |byte: &u8| byte == delimiter || byte == quote || matches!(byte, b'\n' | b'\r') || Some(*byte) == *escape;
        let quoting = text.is_empty()
            || text == null.as_bytes()
            || text.iter().any(special)
            || text.first().is_some_and(|first| Some(*first) == *comment);
        if !quoting {
            out.extend_from_slice(text);
            return;
        }
        out.push(*quote);
        for byte in text {
            if byte == quote {
                out.push(*quote);
            } else if Some(*byte) == *escape {
                out.push(*byte);
            }
            out.push(*byte);
        }
        out.push(*quote);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int64Type;
    use schema::Field;

    use super::*;

    fn schema(fields: &[(&str, ScalarType, bool)]) -> Schema {
        Schema::new(fields.iter().map(|(name, ty, nullable)| Field::new(*name, ty.clone(), *nullable)).collect())
    }

    fn decoder(options: CsvOptions, bad_data: BadData) -> Decoder {
        let schema = schema(&[("b", ScalarType::Utf8, true), ("a", ScalarType::Int64, true)]);
        Decoder::new(&options, &schema, bad_data, None).unwrap()
    }

    fn rows(decoder: &mut Decoder) -> Vec<(Option<String>, Option<i64>)> {
        let columns = decoder.take().unwrap();
        let (texts, numbers) = (columns[0].as_string::<i32>(), columns[1].as_primitive::<Int64Type>());
        (0..texts.len())
            .map(|i| {
                let text = texts.is_valid(i).then(|| texts.value(i).to_owned());
                (text, numbers.is_valid(i).then(|| numbers.value(i)))
            })
            .collect()
    }

    fn row(text: &str, number: i64) -> (Option<String>, Option<i64>) {
        (Some(text.to_owned()), Some(number))
    }

    #[test]
    fn columns_are_found_by_the_header() {
        let mut decoder = decoder(CsvOptions::default(), BadData::Fail);
        let input = b"\xef\xbb\xbfA,skipped,b\r\n1,x,one\r\n\r\n,,\n3,\"a\nb\",\"say \"\"hi\"\", \n\"";
        assert_eq!(decoder.decode(input, true, 100).unwrap(), input.len());
        assert_eq!(rows(&mut decoder), [row("one", 1), (None, None), row("say \"hi\", \n", 3)]);
    }

    #[test]
    fn a_quoted_empty_field_is_no_null() {
        let mut decoder = decoder(CsvOptions::default(), BadData::Fail);
        decoder.decode(b"a,b\n1,\"\"\n", true, 100).unwrap();
        assert_eq!(rows(&mut decoder), [row("", 1)]);
    }

    #[test]
    fn every_cut_gives_the_same_rows() {
        let input = b"a,b\r\n1,\"x\"\"y\r\n\"\r\n2,z\r\n3,\"q\"";
        for cut in 0..input.len() {
            let mut decoder = decoder(CsvOptions::default(), BadData::Fail);
            let consumed = decoder.decode(&input[..cut], false, 100).unwrap();
            decoder.decode(&input[consumed..], true, 100).unwrap();
            assert_eq!(rows(&mut decoder), [row("x\"y\r\n", 1), row("z", 2), row("q", 3)], "cut at {cut}");
        }
    }

    #[test]
    fn a_bad_record_names_line_and_column_or_is_dropped() {
        let input = b"a,b\n1,\"x\ny\"\n2,two,2\nthree,3\n4,\"x\"y\n5,five\n6,\"open";
        let mut failing = decoder(CsvOptions::default(), BadData::Fail);
        let bad = failing.decode(input, true, 100).unwrap_err();
        assert_eq!((bad.line, bad.reason.as_str()), (4, "2 fields expected, found 3"));
        let mut dropping = decoder(CsvOptions::default(), BadData::Drop);
        dropping.decode(input, true, 100).unwrap();
        assert_eq!(rows(&mut dropping), [row("x\ny", 1), row("five", 5)]);
        assert_eq!(dropping.bad_rows(), 4);
        let mut other = decoder(CsvOptions::default(), BadData::Fail);
        let bad = other.decode(b"b,a\nx,three\n", true, 100).unwrap_err();
        assert_eq!((bad.line, bad.column), (2, 3));
        assert_eq!(bad.reason, "column \"a\": BIGINT expected, found 'three'");
    }

    #[test]
    fn a_header_without_a_wanted_column_is_an_error_even_when_dropping() {
        let mut decoder = decoder(CsvOptions::default(), BadData::Drop);
        let bad = decoder.decode(b"a,c\n1,x\n", true, 100).unwrap_err();
        assert_eq!(bad.reason, "the header has no column \"b\"");
    }

    #[test]
    fn other_delimiters_escapes_comments_and_positions() {
        let options = CsvOptions {
            header: false,
            columns: vec!["a".into(), "x".into(), "b".into()],
            delimiter: b';',
            quote: b'\'',
            escape: Some(b'\\'),
            comment: Some(b'#'),
            null: "NA".to_owned(),
        };
        let mut decoder = decoder(options, BadData::Fail);
        decoder.decode(b"# no record\n1;;'it\\'s ''so'''\nNA;;'NA'\n", true, 100).unwrap();
        assert_eq!(rows(&mut decoder), [row("it's 'so'", 1), (Some("NA".to_owned()), None)]);
    }

    #[test]
    fn what_is_written_reads_back() {
        let texts = ["plain", "", "a,b", "say \"hi\"", "two\nlines", "ünïcode"];
        let texts: ArrayRef = std::sync::Arc::new(arrow::array::StringArray::from(texts.to_vec()));
        let numbers: ArrayRef =
            std::sync::Arc::new(arrow::array::Int64Array::from(vec![Some(1), None, Some(-3), None, Some(5), Some(6)]));
        let schema = schema(&[("b", ScalarType::Utf8, true), ("a", ScalarType::Int64, true)]);
        let encoder = Encoder::new(&CsvOptions::default(), &schema);
        let mut out = Vec::new();
        encoder.header(&mut out);
        encoder.encode(&[texts.clone(), numbers.clone()], 6, &mut out).unwrap();
        let mut decoder = decoder(CsvOptions::default(), BadData::Fail);
        decoder.decode(&out, true, 100).unwrap();
        let back = decoder.take().unwrap();
        assert_eq!((&back[0], &back[1]), (&texts, &numbers));
    }
}
