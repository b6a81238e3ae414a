use crate::result::Race;
pub fn print(race: &Race) -> String {
    let mut out = String::new();
    for server in &race.servers {
        for crowd in &race.plan.crowds {
            let g = |f: &dyn Fn(&crate::result::Cell) -> Option<f64>| {
                server.spread(*crowd, |c| f(c)).map_or("-".into(), |s| format!("{:.1}", s.median))
            };
            out += &format!(
                "{:<10} {:>6}  p50 {} p99 {} us  failed {}%  cpu {} us  most {}  mem {} kB  threads {} inside {} late {} loadbusy {}\n",
                server.name,
                crowd,
                g(&|c| c.window.quantile(0.5).map(|v| v as f64 / 1e3)),
                g(&|c| c.window.quantile(0.99).map(|v| v as f64 / 1e3)),
                g(&|c| Some(c.window.failed() as f64 * 100.0 / c.window.due.max(1) as f64)),
                g(&|c| c.window.cpu_each().map(|v| v / 1e3)),
                g(&|c| c.rush.as_ref()?.rate()),
                g(&|c| c.memory.map(|m| m as f64 / 1e3)),
                g(&|c| c.threads.map(|m| m as f64)),
                g(&|c| Some(c.inside as f64)),
                g(&|c| Some(c.window.late as f64 / 1e3)),
                g(&|c| c.rush.as_ref().map(|r| r.load_cpu as f64 / r.lasted as f64))
            );
        }
    }
    out
}
