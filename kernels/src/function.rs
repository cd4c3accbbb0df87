//! The table of kernels: one public function for each name.
//!
//! A generated crate refers to a kernel as a function pointer, `kernels::function::upper`. Each of them is the only
//! path to the code behind it, so what a pipeline does not name is not linked. The same table by name
//! ([`by_name`]) is for those who can afford all of it.
//!
//! Names are those of SQL, aliases too; a name that is a Rust keyword is a raw identifier (`r#struct`).
//!
//! Functions that DataFusion's planner rewrites away (`coalesce`, `nvl`, `arrow_cast`...) have no body there; theirs
//! are ours.

use std::sync::Arc;

use datafusion_common::config::ConfigOptions;
use datafusion_expr::ScalarUDF;
use schema::ScalarType;

use crate::call::Block;
use crate::param::Param;
use crate::{cast, clock, hash, json, operator, pattern};

/// A scalar function or operator that has not been bound to arguments yet.
pub struct Function(pub(crate) Body);

/// Makes the body of an operator for the types and constants of a call site and the type of its result.
pub(crate) type Bind = fn(&[Param], &ScalarType) -> Result<Block, String>;

pub(crate) enum Body {
    Udf(Arc<ScalarUDF>),
    Own(Bind),
}

fn udf(function: Arc<ScalarUDF>) -> Function {
    Function(Body::Udf(function))
}

fn own(bind: Bind) -> Function {
    Function(Body::Own(bind))
}

macro_rules! functions {
    ($($name:ident $(| $alias:ident)* => $make:expr;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`")]
            pub fn $name() -> Function {
                $make
            }
            $(
                #[doc = concat!("`", stringify!($alias), "`, an alias of [`", stringify!($name), "`]")]
                pub fn $alias() -> Function {
                    $name()
                }
            )*
        )*

        /// Every name and alias with its function, in the order of the table.
        pub const ALL: &[(&str, fn() -> Function)] =
            &[$((stringify!($name), $name as fn() -> Function), $((stringify!($alias), $alias),)*)*];
    };
}

functions! {
    // Arithmetic.
    op_add => own(operator::add);
    op_subtract => own(operator::subtract);
    op_multiply => own(operator::multiply);
    op_divide => own(operator::divide);
    op_remainder => own(operator::remainder);
    op_negate => own(operator::negate);
    op_bitand => own(operator::bit_and);
    op_bitor => own(operator::bit_or);
    op_bitxor => own(operator::bit_xor);
    op_shl => own(operator::shift_left);
    op_shr => own(operator::shift_right);
    // Comparison and logic.
    op_eq => own(operator::equal);
    op_neq => own(operator::not_equal);
    op_lt => own(operator::less);
    op_lteq => own(operator::less_or_equal);
    op_gt => own(operator::greater);
    op_gteq => own(operator::greater_or_equal);
    op_is_distinct_from => own(operator::is_distinct_from);
    op_is_not_distinct_from => own(operator::is_not_distinct_from);
    op_and => own(operator::and);
    op_or => own(operator::or);
    op_not => own(operator::not);
    is_null => own(operator::is_null);
    is_not_null => own(operator::is_not_null);
    in_list => own(operator::in_list);
    not_in_list => own(operator::not_in_list);
    // Choice between values.
    op_case => own(operator::case);
    coalesce | nvl | ifnull => own(operator::coalesce);
    nvl2 => own(operator::nvl2);
    nullif => own(operator::nullif);
    // Conversion; the result's type is the target.
    cast | arrow_cast | cast_to_type => own(cast::cast);
    try_cast | arrow_try_cast | try_cast_to_type => own(cast::try_cast);
    // Patterns.
    like => own(pattern::like);
    not_like => own(pattern::not_like);
    ilike => own(pattern::ilike);
    not_ilike => own(pattern::not_ilike);
    similar_to => own(pattern::similar_to);
    not_similar_to => own(pattern::not_similar_to);
    regex_match => own(pattern::regex_match);
    regex_imatch => own(pattern::regex_imatch);
    regex_not_match => own(pattern::regex_not_match);
    regex_not_imatch => own(pattern::regex_not_imatch);
    string_concat => own(pattern::string_concat);
    // The clock.
    now | current_timestamp => udf(clock::now());
    current_date | today => udf(clock::current_date());
    current_time => udf(clock::current_time());
    // JSON.
    json_get => udf(json::json_get());
    json_get_str => udf(json::json_get_str());
    json_get_int => udf(json::json_get_int());
    json_get_float => udf(json::json_get_float());
    json_get_bool => udf(json::json_get_bool());
    json_get_json => udf(json::json_get_json());
    json_get_array => udf(json::json_get_array());
    json_as_text => udf(json::json_as_text());
    json_contains => udf(json::json_contains());
    json_length | json_len => udf(json::json_length());
    json_object_keys | json_keys => udf(json::json_object_keys());
    get_first_json_object => udf(json::get_first_json_object());
    extract_json | get_json_objects => udf(json::extract_json());
    extract_json_string | json_extract_string => udf(json::extract_json_string());
    // Hashes.
    multi_hash => udf(hash::multi_hash());
    // Values of any type.
    arrow_field => udf(datafusion_functions::core::arrow_field());
    arrow_metadata => udf(datafusion_functions::core::arrow_metadata());
    with_metadata => udf(datafusion_functions::core::with_metadata());
    overlay => udf(datafusion_functions::core::overlay());
    arrow_typeof => udf(datafusion_functions::core::arrow_typeof());
    named_struct => udf(datafusion_functions::core::named_struct());
    get_field => udf(datafusion_functions::core::get_field());
    greatest => udf(datafusion_functions::core::greatest());
    least => udf(datafusion_functions::core::least());
    union_extract => udf(datafusion_functions::core::union_extract());
    union_tag => udf(datafusion_functions::core::union_tag());
    version => udf(datafusion_functions::core::version());
    r#struct | row => udf(datafusion_functions::core::r#struct());
    // Date and time.
    date_bin => udf(datafusion_functions::datetime::date_bin());
    date_part | datepart => udf(datafusion_functions::datetime::date_part());
    date_trunc | datetrunc => udf(datafusion_functions::datetime::date_trunc());
    from_unixtime => udf(datafusion_functions::datetime::from_unixtime());
    make_date => udf(datafusion_functions::datetime::make_date());
    make_time => udf(datafusion_functions::datetime::make_time());
    to_char | date_format => udf(datafusion_functions::datetime::to_char());
    to_date => udf(datafusion_functions::datetime::to_date());
    to_local_time => udf(datafusion_functions::datetime::to_local_time());
    to_time => udf(datafusion_functions::datetime::to_time());
    to_unixtime => udf(datafusion_functions::datetime::to_unixtime());
    to_timestamp => udf(datafusion_functions::datetime::to_timestamp(&ConfigOptions::default()));
    to_timestamp_seconds => udf(datafusion_functions::datetime::to_timestamp_seconds(&ConfigOptions::default()));
    to_timestamp_millis => udf(datafusion_functions::datetime::to_timestamp_millis(&ConfigOptions::default()));
    to_timestamp_micros => udf(datafusion_functions::datetime::to_timestamp_micros(&ConfigOptions::default()));
    to_timestamp_nanos => udf(datafusion_functions::datetime::to_timestamp_nanos(&ConfigOptions::default()));
    // Encoding.
    encode => udf(datafusion_functions::encoding::encode());
    decode => udf(datafusion_functions::encoding::decode());
    // Numbers.
    abs => udf(datafusion_functions::math::abs());
    acos => udf(datafusion_functions::math::acos());
    acosh => udf(datafusion_functions::math::acosh());
    asin => udf(datafusion_functions::math::asin());
    asinh => udf(datafusion_functions::math::asinh());
    atan => udf(datafusion_functions::math::atan());
    atan2 => udf(datafusion_functions::math::atan2());
    atanh => udf(datafusion_functions::math::atanh());
    cbrt => udf(datafusion_functions::math::cbrt());
    ceil => udf(datafusion_functions::math::ceil());
    cos => udf(datafusion_functions::math::cos());
    cosh => udf(datafusion_functions::math::cosh());
    cot => udf(datafusion_functions::math::cot());
    degrees => udf(datafusion_functions::math::degrees());
    exp => udf(datafusion_functions::math::exp());
    factorial => udf(datafusion_functions::math::factorial());
    floor => udf(datafusion_functions::math::floor());
    gcd => udf(datafusion_functions::math::gcd());
    isnan => udf(datafusion_functions::math::isnan());
    iszero => udf(datafusion_functions::math::iszero());
    lcm => udf(datafusion_functions::math::lcm());
    ln => udf(datafusion_functions::math::ln());
    log => udf(datafusion_functions::math::log());
    log2 => udf(datafusion_functions::math::log2());
    log10 => udf(datafusion_functions::math::log10());
    nanvl => udf(datafusion_functions::math::nanvl());
    pi => udf(datafusion_functions::math::pi());
    power | pow => udf(datafusion_functions::math::power());
    radians => udf(datafusion_functions::math::radians());
    random | rand => udf(datafusion_functions::math::random());
    signum => udf(datafusion_functions::math::signum());
    sin => udf(datafusion_functions::math::sin());
    sinh => udf(datafusion_functions::math::sinh());
    sqrt => udf(datafusion_functions::math::sqrt());
    tan => udf(datafusion_functions::math::tan());
    tanh => udf(datafusion_functions::math::tanh());
    round => udf(datafusion_functions::math::round());
    trunc => udf(datafusion_functions::math::trunc());
    // Regular expressions.
    regexp_count => udf(datafusion_functions::regex::regexp_count());
    regexp_match => udf(datafusion_functions::regex::regexp_match());
    regexp_instr => udf(datafusion_functions::regex::regexp_instr());
    regexp_like => udf(datafusion_functions::regex::regexp_like());
    regexp_replace => udf(datafusion_functions::regex::regexp_replace());
    // Digests.
    digest => udf(datafusion_functions::crypto::digest());
    md5 => udf(datafusion_functions::crypto::md5());
    sha224 => udf(datafusion_functions::crypto::sha224());
    sha256 => udf(datafusion_functions::crypto::sha256());
    sha384 => udf(datafusion_functions::crypto::sha384());
    sha512 => udf(datafusion_functions::crypto::sha512());
    // Text by characters.
    character_length | length | char_length => udf(datafusion_functions::unicode::character_length());
    find_in_set => udf(datafusion_functions::unicode::find_in_set());
    initcap => udf(datafusion_functions::unicode::initcap());
    left => udf(datafusion_functions::unicode::left());
    lpad => udf(datafusion_functions::unicode::lpad());
    reverse => udf(datafusion_functions::unicode::reverse());
    right => udf(datafusion_functions::unicode::right());
    rpad => udf(datafusion_functions::unicode::rpad());
    strpos | instr | position => udf(datafusion_functions::unicode::strpos());
    substr | substring => udf(datafusion_functions::unicode::substr());
    substr_index | substring_index => udf(datafusion_functions::unicode::substr_index());
    translate => udf(datafusion_functions::unicode::translate());
    // Text.
    ascii => udf(datafusion_functions::string::ascii());
    bit_length => udf(datafusion_functions::string::bit_length());
    btrim | trim => udf(datafusion_functions::string::btrim());
    chr => udf(datafusion_functions::string::chr());
    concat => udf(datafusion_functions::string::concat());
    concat_ws => udf(datafusion_functions::string::concat_ws());
    ends_with => udf(datafusion_functions::string::ends_with());
    levenshtein => udf(datafusion_functions::string::levenshtein());
    lower => udf(datafusion_functions::string::lower());
    ltrim => udf(datafusion_functions::string::ltrim());
    octet_length => udf(datafusion_functions::string::octet_length());
    repeat => udf(datafusion_functions::string::repeat());
    replace => udf(datafusion_functions::string::replace());
    rtrim => udf(datafusion_functions::string::rtrim());
    split_part => udf(datafusion_functions::string::split_part());
    starts_with => udf(datafusion_functions::string::starts_with());
    to_hex => udf(datafusion_functions::string::to_hex());
    upper => udf(datafusion_functions::string::upper());
    uuid => udf(datafusion_functions::string::uuid());
    contains => udf(datafusion_functions::string::contains());
    // Lists and maps.
    array_compact | list_compact => udf(datafusion_functions_nested::array_compact::array_compact_udf());
    array_to_string | list_to_string | array_join | list_join => udf(datafusion_functions_nested::string::array_to_string_udf());
    string_to_array | string_to_list => udf(datafusion_functions_nested::string::string_to_array_udf());
    range => udf(datafusion_functions_nested::range::range_udf());
    generate_series => udf(datafusion_functions_nested::range::gen_series_udf());
    array_dims | list_dims => udf(datafusion_functions_nested::dimension::array_dims_udf());
    cardinality => udf(datafusion_functions_nested::cardinality::cardinality_udf());
    array_ndims | list_ndims => udf(datafusion_functions_nested::dimension::array_ndims_udf());
    array_append | list_append | array_push_back | list_push_back => udf(datafusion_functions_nested::concat::array_append_udf());
    array_prepend | list_prepend | array_push_front | list_push_front => udf(datafusion_functions_nested::concat::array_prepend_udf());
    array_concat | array_cat | list_concat | list_cat => udf(datafusion_functions_nested::concat::array_concat_udf());
    array_except | list_except => udf(datafusion_functions_nested::except::array_except_udf());
    array_element | array_extract | list_element | list_extract => udf(datafusion_functions_nested::extract::array_element_udf());
    array_pop_back | list_pop_back => udf(datafusion_functions_nested::extract::array_pop_back_udf());
    array_pop_front | list_pop_front => udf(datafusion_functions_nested::extract::array_pop_front_udf());
    array_slice | list_slice => udf(datafusion_functions_nested::extract::array_slice_udf());
    array_any_value | list_any_value => udf(datafusion_functions_nested::extract::array_any_value_udf());
    make_array | make_list => udf(datafusion_functions_nested::make_array::make_array_udf());
    array_has | list_has | array_contains | list_contains => udf(datafusion_functions_nested::array_has::array_has_udf());
    array_has_all | list_has_all => udf(datafusion_functions_nested::array_has::array_has_all_udf());
    array_has_any | list_has_any | arrays_overlap => udf(datafusion_functions_nested::array_has::array_has_any_udf());
    array_empty | empty | list_empty => udf(datafusion_functions_nested::empty::array_empty_udf());
    array_length | list_length => udf(datafusion_functions_nested::length::array_length_udf());
    array_normalize | list_normalize => udf(datafusion_functions_nested::array_normalize::array_normalize_udf());
    array_add | list_add => udf(datafusion_functions_nested::array_add::array_add_udf());
    array_avg | list_avg => udf(datafusion_functions_nested::array_avg::array_avg_udf());
    array_product | list_product => udf(datafusion_functions_nested::array_product::array_product_udf());
    array_scale | list_scale => udf(datafusion_functions_nested::array_scale::array_scale_udf());
    array_subtract | list_subtract => udf(datafusion_functions_nested::array_subtract::array_subtract_udf());
    array_sum | list_sum => udf(datafusion_functions_nested::array_sum::array_sum_udf());
    cosine_distance => udf(datafusion_functions_nested::cosine_distance::cosine_distance_udf());
    inner_product | dot_product => udf(datafusion_functions_nested::inner_product::inner_product_udf());
    array_distance | list_distance => udf(datafusion_functions_nested::distance::array_distance_udf());
    flatten => udf(datafusion_functions_nested::flatten::flatten_udf());
    array_max | list_max => udf(datafusion_functions_nested::min_max::array_max_udf());
    array_min | list_min => udf(datafusion_functions_nested::min_max::array_min_udf());
    array_sort | list_sort => udf(datafusion_functions_nested::sort::array_sort_udf());
    array_repeat | list_repeat => udf(datafusion_functions_nested::repeat::array_repeat_udf());
    array_resize | list_resize => udf(datafusion_functions_nested::resize::array_resize_udf());
    array_reverse | list_reverse => udf(datafusion_functions_nested::reverse::array_reverse_udf());
    array_distinct | list_distinct => udf(datafusion_functions_nested::set_ops::array_distinct_udf());
    array_intersect | list_intersect => udf(datafusion_functions_nested::set_ops::array_intersect_udf());
    array_union | list_union => udf(datafusion_functions_nested::set_ops::array_union_udf());
    arrays_zip | list_zip => udf(datafusion_functions_nested::arrays_zip::arrays_zip_udf());
    array_position | list_position | array_indexof | list_indexof => udf(datafusion_functions_nested::position::array_position_udf());
    array_positions | list_positions => udf(datafusion_functions_nested::position::array_positions_udf());
    array_remove | list_remove => udf(datafusion_functions_nested::remove::array_remove_udf());
    array_remove_all | list_remove_all => udf(datafusion_functions_nested::remove::array_remove_all_udf());
    array_remove_n | list_remove_n => udf(datafusion_functions_nested::remove::array_remove_n_udf());
    array_replace_n | list_replace_n => udf(datafusion_functions_nested::replace::array_replace_n_udf());
    array_replace_all | list_replace_all => udf(datafusion_functions_nested::replace::array_replace_all_udf());
    array_replace | list_replace => udf(datafusion_functions_nested::replace::array_replace_udf());
    map => udf(datafusion_functions_nested::map::map_udf());
    map_entries => udf(datafusion_functions_nested::map_entries::map_entries_udf());
    map_extract | element_at => udf(datafusion_functions_nested::map_extract::map_extract_udf());
    map_keys => udf(datafusion_functions_nested::map_keys::map_keys_udf());
    map_values => udf(datafusion_functions_nested::map_values::map_values_udf());
}

/// The function of a name or alias.
pub fn by_name(name: &str) -> Option<fn() -> Function> {
    ALL.iter().find(|(known, _)| known.trim_start_matches("r#") == name).map(|(_, function)| *function)
}
