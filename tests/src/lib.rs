//! Whole-system tests. There is nothing in this library: the tests are the targets `sql` (text in, text out; see
//! `README.md` for how to add a case), `cli` (the program as a user meets it), `examples` (what the documents show),
//! `determinism` (the same bytes for everybody), `simulation` (a job through crashes) and `tidy` (the rules of the
//! repository).
