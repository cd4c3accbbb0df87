use formats::*;
use schema::*;
fn main() {
    let mut input = Vec::new();
    for i in 0..200_000u64 {
        let h = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        input.extend_from_slice(format!("{{\"auction\":{},\"bidder\":{},\"price\":{},\"channel\":\"Google{}\",\"url\":\"https://www.nexmark.com/googl/item.htm?query=1&channel_id={}\",\"datetime\":\"2024-01-01T{:02}:{:02}:{:02}.{:03}\",\"extra\":\"{}\"}}\n", h%10000, h%3333, h%1000000, h%10, h%99999, i/3600%24, i/60%60, i%60, h%1000, "lorem ipsum".repeat((h%4) as usize)).as_bytes());
    }
    println!("{} bytes a line", input.len() / 200_000);
    let t = |n: &str, ty: ScalarType| Field::new(n, ty, true);
    let cases: Vec<(&str, Vec<Field>)> = vec![
        ("none", vec![]),
        ("3 fields", vec![t("auction", ScalarType::Int64), t("price", ScalarType::Int64), t("datetime", ScalarType::TIMESTAMP_NS)]),
        ("all", vec![t("auction", ScalarType::Int64), t("bidder", ScalarType::Int64), t("price", ScalarType::Int64), t("channel", ScalarType::Utf8), t("url", ScalarType::Utf8), t("datetime", ScalarType::TIMESTAMP_NS), t("extra", ScalarType::Utf8)]),
    ];
    for (name, fields) in cases {
        let schema = Schema::new(fields);
        let mut d = Decoder::new(&Reading { format: Format::Json(JsonOptions::default()), bad_data: BadData::Fail, max_line_bytes: None }, &schema).unwrap();
        let mut best = f64::MAX;
        for _ in 0..7 {
            let s = std::time::Instant::now();
            d.start();
            let mut at = 0; let mut rows = 0;
            while at < input.len() {
                at += d.decode(&input[at..], true, 1024).unwrap();
                rows += d.rows();
                std::hint::black_box(d.take().unwrap());
            }
            assert_eq!(rows, 200_000);
            best = best.min(s.elapsed().as_secs_f64());
        }
        println!("decode {name}: {:.2} M rows/s, {:.0} MB/s", 0.2 / best, input.len() as f64 / best / 1e6);
        if name == "all" {
            d.start(); d.decode(&input, true, 100_000).unwrap(); let n = d.rows(); let cols = d.take().unwrap();
            let e = Encoder::new(&Format::Json(JsonOptions::default()), &schema).unwrap();
            let mut best = f64::MAX; let mut out = Vec::new();
            for _ in 0..7 { out.clear(); let s = std::time::Instant::now(); e.encode(&cols, n, &mut out).unwrap(); best = best.min(s.elapsed().as_secs_f64()); }
            println!("encode all: {:.2} M rows/s, {:.0} MB/s", n as f64 / best / 1e6, out.len() as f64 / best / 1e6);
        }
    }
}
