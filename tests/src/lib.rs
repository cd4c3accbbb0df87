//! Whole-system tests. There is nothing in this library: the tests are the targets `sql` (text in, text out, through
//! crashes too; see `README.md` for how to add a case), `conformance` (generated stages, whatever comes between rows),
//! `simulation` (a job through crashes), `cli` (the program as a user meets it), `examples` (what the documents show),
//! `determinism` (the same bytes for everybody) and `tidy` (the rules of the repository).
