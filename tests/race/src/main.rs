use std::time::Duration;
use race::load::visits::{Pace, Visits, visit};
use race::load::crowd::Crowd;
fn main() -> std::io::Result<()> {
    let a: Vec<String> = std::env::args().collect();
    let address = a[1].parse().unwrap();
    let stays = a[2] == "stay";
    let pace = match a[3].as_str() { "open" => Pace::Open { a_second: a[4].parse().unwrap() }, _ => Pace::Closed { at_once: a[4].parse().unwrap(), a_second: None } };
    let size: usize = a[5].parse().unwrap();
    let mut event_loop = ch08_epoll::event_loop()?;
    let mut crowd = Crowd::new(address);
    let before = race::load::cpu_time();
    crowd.grow(&mut event_loop, size, Duration::from_secs(1))?;
    println!("inside {} {:?} cpu {:?}", crowd.inside(), crowd.why(), race::load::cpu_time() - before);
    let request = format!("GET /hello HTTP/1.1\r\nHost: {address}\r\n{}\r\n", if stays {""} else {"Connection: close\r\n"});
    let heard = visit(&mut event_loop, Visits { address, request: request.into_bytes().into(), pace, lasting: Duration::from_secs(3), patience: Duration::from_secs(1), stays })?;
    println!("due {} answered {} failed {} p50 {} p99 {} max {} us late p99 {} us; {:.0}/s cpu {:.2} us each, busy {:.2}", heard.due, heard.answered, heard.failed(), heard.latency.value_at_quantile(0.5)/1000, heard.latency.value_at_quantile(0.99)/1000, heard.latency.max()/1000, heard.late.value_at_quantile(0.99)/1000, heard.answered as f64/heard.lasted.as_secs_f64(), heard.cpu.as_secs_f64()*1e6/heard.answered.max(1) as f64, heard.cpu.as_secs_f64()/heard.lasted.as_secs_f64());
    println!("{}", std::fs::read_to_string("/proc/self/status")?.lines().filter(|l| l.starts_with("VmHWM")).collect::<String>());
    Ok(())
}
