//! Numbers and text as they're written in pictures.

/// As it is written: `4.3`, `97`, `1,046`. From a hundred on, nobody asks for a tenth.
pub fn number(figure: f64) -> String {
    if figure < 100.0 {
        return figure.to_string();
    }
    let digits = format!("{figure:.0}");
    let mut number = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            number.push(',');
        }
        number.push(digit);
    }
    number
}

/// For XML.
pub fn escaped(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// On one line, and without what a terminal obeys and XML doesn't allow: a program's name can have anything in it.
pub fn plain(text: &str) -> String {
    let allowed = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars().map(|c| if allowed(c) { c } else { ' ' }).collect()
}

/// The first of its characters, and `…` in the place of what is too much.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}
