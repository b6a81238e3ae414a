//! Names that people type: which one was meant?

/// The one of `names` that differs least from what somebody typed, if it's near enough to be a slip of the
/// keyboard: of three letters one may be wrong, of longer words one in three.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let may_be_wrong = (typed.chars().count() / 3).max(1);
    let with_slips = names.into_iter().map(|name| (slips(&typed, &name.to_lowercase()), name));
    let (slips, name) = with_slips.min_by_key(|(slips, _)| *slips)?;
    (slips <= may_be_wrong).then_some(name)
}

/// How many slips make one word of the other: a letter too many, too few or wrong, or two neighbors that have
/// changed places.
fn slips(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    // Row by row: how many make the beginning of `other`, up to each letter, of the beginning of `one`.
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for row in 1..=one.len() {
        let mut this = vec![row];
        for column in 1..=other.len() {
            let wrong = usize::from(one[row - 1] != other[column - 1]);
            let mut least =
                (last[column] + 1).min(this[column - 1] + 1).min(last[column - 1] + wrong);
            let have_changed_places = row > 1
                && column > 1
                && one[row - 1] == other[column - 2]
                && one[row - 2] == other[column - 1];
            if have_changed_places {
                least = least.min(before_last[column - 2] + 1);
            }
            this.push(least);
        }
        before_last = std::mem::replace(&mut last, this);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("same", "same", 0)]
    #[case("", "four", 4)]
    #[case("four", "", 4)]
    #[case("lenght", "length", 1)]
    #[case("lngth", "length", 1)]
    #[case("lengthh", "length", 1)]
    #[case("lengtj", "length", 1)]
    #[case("kitten", "sitting", 3)]
    fn slips_are_counted(#[case] one: &str, #[case] other: &str, #[case] count: usize) {
        assert_eq!(slips(one, other), count);
        assert_eq!(slips(other, one), count);
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let names = ["01-length", "length", "02-pieces", "pieces"];
        assert_eq!(nearest("01-lenght", names), Some("01-length"));
        assert_eq!(nearest("Peices", names), Some("pieces"));
        assert_eq!(nearest("nonsense", names), None);
        assert_eq!(nearest("x", names), None);
        assert_eq!(nearest("pieces", []), None);
    }
}
