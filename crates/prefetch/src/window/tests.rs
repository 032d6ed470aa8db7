use super::*;

/// Without limit.
const ALL: u64 = u64::MAX;
/// What memory allows.
const CEILING: u64 = 64 << 20;

/// The client waits so many times, a second apart, having got that many bytes each time.
fn waits(window: &mut Window, times: u32, bytes: u64) {
    let mut now = window.waited.unwrap_or_else(Instant::now);
    window.client_waited(now);
    for _ in 0..times {
        now += Duration::from_secs(1);
        (window.since, window.total) = (window.since + bytes, window.total + bytes);
        window.client_waited(now);
    }
}

#[test]
fn fixed_counts_requests_only() {
    let window = Window::new(WindowSetting::Fixed(2), u64::MAX, &Experience::default());
    assert!(window.has_room(1, 1, u64::MAX, ALL));
    assert!(!window.has_room(2, 2, 0, ALL));
    assert!(window.has_room(1, 2, u64::MAX, ALL), "one is late");
    assert!(!window.has_room(1, 3, 0, ALL), "and not read for long");
}

#[test]
fn one_at_a_time_is_one_at_a_time() {
    let window = Window::new(WindowSetting::Fixed(1), u64::MAX, &Experience::default());
    assert!(window.has_room(0, 0, 0, ALL));
    assert!(!window.has_room(0, 1, 0, ALL), "its bytes are not read yet");
}

#[test]
fn auto_begins_small_and_reaches_the_ceiling_within_a_few_waits() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    assert!(!window.has_room(1, 1, FIRST, ALL));
    waits(&mut window, 3, 0);
    assert!(window.has_room(1, 1, CEILING - 1, ALL));
    waits(&mut window, 99, 0);
    assert!(!window.has_room(1, 1, CEILING, ALL));
}

#[test]
fn however_small_they_are_there_are_only_so_many_requests() {
    let window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    assert!(window.has_room(1, REQUESTS - 1, 0, ALL) && !window.has_room(1, REQUESTS, 0, ALL));
}

#[test]
fn it_grows_fourfold_three_times_and_then_twofold() {
    let mut window = Window::new(WindowSetting::Auto, LARGEST, &Experience::default());
    let begin = Instant::now();
    window.client_waited(begin);
    for (seconds, times) in [(1, 4), (2, 16), (3, 64), (4, 128), (5, 256)] {
        window.client_waited(begin + Duration::from_secs(seconds));
        assert_eq!(window.automatic(), Some(times * FIRST), "{seconds}");
    }
}

#[test]
fn short_memory_and_slow_clients_shrink_it() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    waits(&mut window, 9, 0);
    (0..99).for_each(|_| {
        window.memory_was_short(0);
        window.total += CEILING;
    });
    assert!(window.has_room(1, 1, SPAN.0 - 1, ALL) && !window.has_room(1, 1, SPAN.0, ALL));
    assert_eq!(window.span(u64::MAX, ALL), SPAN.0);
    waits(&mut window, 1, 0);
    window.ended(UNREAD);
    assert!(window.has_room(1, 1, FIRST - 1, ALL));
    (0..9).for_each(|_| window.ended(2 * UNREAD));
    assert!(!window.has_room(1, 1, FIRST - 1, ALL));
}

#[test]
fn where_the_server_gives_no_more_the_window_does_not_grow() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    window.first_byte(Duration::from_millis(10));
    assert_eq!(window.automatic(), Some(20_000_000), "what 10 ms may be worth");
    waits(&mut window, 99, 100 << 20);
    assert_eq!(window.automatic(), Some(STEADY), "a hundred MiB a second over 10 ms are one MiB");
    waits(&mut window, 1, 400 << 20);
    assert_eq!(window.automatic(), Some(16 << 20), "and four times that, when the server gives more");
    waits(&mut window, 99, 0);
    assert_eq!(window.automatic(), Some(16 << 20), "it does not shrink for that");
}

#[test]
fn what_waits_for_its_first_byte_is_that_far_away_at_least() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    let at = |milliseconds| Duration::from_millis(milliseconds);
    let looks: Vec<_> = std::iter::successors(window.looks_again(Duration::ZERO), |time| {
        window.awaits_first(*time);
        window.looks_again(*time)
    })
    .collect();
    assert_eq!(looks, [LOOK, at(5), at(10), at(20), at(40)]);
    assert_eq!(window.automatic(), Some(CEILING), "80 MB, for which there is no memory");
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    assert!(!window.awaits_first(LOOK / 2), "a server may take that long");
    assert!(window.awaits_first(at(5)));
    assert_eq!(window.automatic(), Some(10_000_000));
    window.first_byte(at(6));
    assert_eq!(window.automatic(), Some(12_000_000));
    assert!(!window.awaits_first(at(30)) && window.looks_again(at(30)).is_none(), "it is known now");
    window.first_byte(at(20));
    assert_eq!(window.automatic(), Some(12_000_000));
}

#[test]
fn what_is_no_farther_than_the_window_reaches_makes_no_reason_to_fetch_more() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    assert!(window.awaits_first(Duration::from_millis(5)));
    assert!(!window.awaits_first(Duration::from_millis(5)));
}

#[test]
fn what_was_taken_for_distance_is_taken_back_when_all_of_it_has_come_at_a_pace_that_is_known() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    let begin = Instant::now();
    // Bytes that were here are no part of it.
    window.delivered(1_500_000);
    window.first_byte(Duration::from_millis(10));
    window.delivered(19_000_000);
    window.client_waited(begin);
    window.client_waited(begin + Duration::from_secs(1));
    assert_eq!(window.automatic(), Some(20_000_000), "a million bytes of it are still to come");
    window.delivered(1_000_000);
    window.client_waited(begin + Duration::from_secs(2));
    assert_eq!(window.automatic(), Some(STEADY), "20 MB a second over 10 ms are worth no more");

    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    window.first_byte(Duration::from_millis(10));
    window.delivered(20_000_000);
    window.client_waited(begin);
    window.client_waited(begin + Duration::from_millis(1));
    assert_eq!(window.automatic(), Some(20_000_000), "what is not known says nothing");
}

#[test]
fn a_long_download_gets_half_of_what_went_to_the_client_but_no_more_than_large_requests_take() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    window.delivered(10 << 20);
    assert_eq!(window.automatic(), Some(5 << 20));
    window.delivered(10 << 20);
    assert_eq!(window.automatic(), Some(STEADY));
}

#[test]
fn with_much_memory_the_window_is_what_the_distance_can_be_worth() {
    let mut window = Window::new(WindowSetting::Auto, 1 << 40, &Experience::default());
    window.first_byte(Duration::from_millis(100));
    assert_eq!(window.automatic(), Some(200_000_000));
    window.first_byte(Duration::from_secs(10));
    assert_eq!(window.automatic(), Some(200_000_000));
}

#[test]
fn bytes_that_had_been_here_before_are_no_pace() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    let begin = Instant::now();
    window.first_byte(Duration::from_millis(30));
    window.client_waited(begin);
    window.delivered(64 << 20);
    window.client_waited(begin + Duration::from_millis(29));
    assert_eq!(window.pace, 0.0);
    window.client_waited(begin + Duration::from_millis(32));
    assert_eq!(window.pace, (64 << 20) as f64 / 0.032);
}

#[test]
fn the_wait_for_the_first_byte_says_nothing() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    window.client_waited(Instant::now());
    assert_eq!(window.automatic(), Some(FIRST));
}

#[test]
fn memory_that_is_short_counts_once_for_each_window() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    waits(&mut window, 9, 0);
    (0..99).for_each(|_| window.memory_was_short(0));
    assert_eq!(window.automatic(), Some(CEILING / 2));
    window.delivered(CEILING / 2 - 1);
    window.memory_was_short(0);
    assert_eq!(window.automatic(), Some(CEILING / 2));
    window.delivered(1);
    window.memory_was_short(0);
    assert_eq!(window.automatic(), Some(CEILING / 4));
    window.memory_was_short(0);
    assert_eq!(window.automatic(), Some(CEILING / 4), "nothing has gone to the client since");
    window.delivered(CEILING);
    window.memory_was_short(CEILING / 5);
    assert_eq!(window.automatic(), Some(CEILING / 5), "with its part it may reckon");
    window.delivered(CEILING);
    window.memory_was_short(CEILING / 5);
    assert_eq!(window.automatic(), Some(CEILING / 5));
    assert_eq!(window.delivered, CEILING, "nor does what went to the client count anew");
}

#[test]
fn one_of_many_downloads_makes_requests_of_its_part_of_the_memory() {
    let window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    assert_eq!(window.span(u64::MAX, 1 << 20), 1 << 20);
    assert_eq!(window.span(u64::MAX, 0), SPAN.0);
    let most = |part: u64| (0..part).step_by(64 << 10).take_while(|held| window.has_room(1, 1, *held, part)).count();
    assert_eq!(most(512 << 10), 2, "the next one begins when a quarter is left of what is its part");
    assert_eq!(most(4 << 20) << 16, 1 << 20);
    assert_eq!(most(40 << 20) << 16, FIRST as usize, "where there is enough the window says how far");
}

#[test]
fn a_span_never_leaves_a_crumb() {
    let window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    let span = window.span(u64::MAX, ALL);
    assert_eq!(window.span(span + 1, ALL), span + 1);
    assert_eq!(window.span(2 * span, ALL), span);
    assert_eq!(window.span(10, ALL), 10);
}

#[test]
fn what_is_left_of_a_chunk_is_asked_for_at_once_unless_a_body_stood_for_long() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    assert_eq!(window.reach(1 << 30), 1 << 30);
    window.body_stood();
    assert_eq!(window.reach(1 << 30), 0);
    waits(&mut window, 1, 0);
    assert_eq!(window.reach(1 << 30), 1 << 30, "the client reads fast after all");
}

fn ended(experience: &Experience, waited: u32, total: u64, remaining: u64, distance: Duration) {
    let mut window = Window::new(WindowSetting::Auto, CEILING, experience);
    window.first_byte(distance);
    if waited > 0 {
        waits(&mut window, waited, 1 << 40);
    }
    window.delivered(total);
    experience.note(&window, remaining);
}

const FAR: Duration = Duration::from_millis(40);

#[test]
fn a_window_begins_where_earlier_ones_over_the_distance_came_to() {
    let experience = Experience::default();
    (0..20).for_each(|_| ended(&experience, 3, 1 << 30, 0, FAR));
    let window = Window::new(WindowSetting::Auto, CEILING, &experience);
    assert!(window.has_room(1, 1, CEILING / 2 - 1, ALL) && !window.has_room(1, 1, CEILING / 2, ALL));
    let window = Window::new(WindowSetting::Auto, 8 << 20, &experience);
    assert!(
        window.has_room(1, 1, (4 << 20) - 1, ALL) && !window.has_room(1, 1, 4 << 20, ALL),
        "where there is little memory"
    );
}

#[test]
fn clients_that_leave_early_bring_the_beginning_down() {
    let experience = Experience::default();
    (0..20).for_each(|_| ended(&experience, 3, 1 << 30, 0, FAR));
    (0..20).for_each(|_| ended(&experience, 0, 64 << 10, 1 << 30, FAR));
    assert!(experience.window() < 2 * FIRST, "{}", experience.window());
    let mut window = Window::new(WindowSetting::Auto, CEILING, &experience);
    assert!(!window.awaits_first(FAR) && window.looks_again(FAR).is_none(), "nothing is taken for distance");
    let before = window.automatic();
    window.first_byte(FAR);
    assert_eq!(window.automatic(), before);
    (0..20).for_each(|_| ended(&experience, 0, 1 << 30, 0, FAR));
    assert!(experience.is_trusting());
    (0..2).for_each(|_| ended(&experience, 0, 64 << 10, 1 << 30, FAR));
    assert!(!experience.is_trusting(), "two of them are enough");
    ended(&experience, 0, 1 << 30, 0, FAR);
    assert!(experience.is_trusting(), "and one that stays makes up for it");
}

#[test]
fn a_near_server_teaches_no_large_beginning_however_often_clients_wait() {
    let experience = Experience::default();
    (0..20).for_each(|_| ended(&experience, 9, 1 << 30, 0, Duration::from_micros(300)));
    assert!(experience.window() <= FIRST, "{}", experience.window());
}

#[test]
fn what_nobody_waits_for_shrinks_slowly_and_short_downloads_say_nothing() {
    let experience = Experience::default();
    (0..20).for_each(|_| ended(&experience, 3, 1 << 30, 0, FAR));
    let before = experience.window();
    ended(&experience, 0, 64 << 10, 0, FAR);
    assert_eq!(experience.window(), before);
    for _ in 0..99 {
        let mut window = Window { presumes: false, ..Window::new(WindowSetting::Auto, CEILING, &experience) };
        window.first_byte(FAR);
        window.delivered(1 << 30);
        experience.note(&window, 0);
    }
    assert!((FIRST..before / 4).contains(&experience.window()), "{}", experience.window());
}

#[test]
fn a_window_that_has_shrunk_makes_requests_of_half_of_it() {
    let mut window = Window::new(WindowSetting::Auto, CEILING, &Experience::default());
    for (target, span) in [(768 << 10, 384 << 10), (FIRST - 2, FIRST / 2 - 1), (300 << 10, SPAN.0), (FIRST, SPAN.1)] {
        window.target = target;
        assert_eq!(window.span(u64::MAX, ALL), span, "{target}");
    }
}

/// A window that began with 16 MiB and has come to 32, of a download that got so many bytes over a distance.
fn grown(experience: &Experience, total: u64) -> Window {
    let mut window = Window::new(WindowSetting::Auto, CEILING, experience);
    (window.begun, window.target, window.grown) = (16 << 20, 32 << 20, 32 << 20);
    (window.total, window.nearest) = (total, Some(FAR));
    window
}

#[test]
fn a_download_says_what_it_needed_of_its_window() {
    let of = |total| grown(&Experience::default(), total);
    assert_eq!(of(20 << 20).sample(1), Some(20 << 20), "who leaves had use for what he got");
    assert_eq!(of(40 << 20).sample(1), Some(32 << 20));
    assert_eq!(Window { growths: 1, ..of(1) }.sample(0), Some(32 << 20), "waited for");
    let presumed = |total| Window { presumed: Some(0), ..of(total) };
    assert_eq!(presumed(16 << 20).sample(0), None, "it was all here with the first window");
    assert_eq!(presumed((16 << 20) + 1).sample(0), Some((16 << 20) + 1));
    assert_eq!(of(16 << 20).sample(0), None);
    assert_eq!(of((16 << 20) + 1).sample(0), Some(14 << 20), "a little less may do");
    assert_eq!(Window { nearest: None, ..of(1 << 30) }.sample(0), None);
}

#[test]
fn who_leaves_before_he_had_a_window_makes_wary_and_what_was_needed_is_learned() {
    let experience = Experience::default();
    let wary = || experience.wary.load(Ordering::Relaxed);
    experience.note(&grown(&experience, (32 << 20) - 1), 1);
    assert_eq!(wary(), WARY.0);
    assert_eq!(experience.window(), FIRST / 2 + ((32 << 20) - 1) / 2);
    experience.note(&grown(&experience, 32 << 20), 1);
    assert_eq!(wary(), WARY.0 - 1, "he had all of it");
    experience.note(&grown(&experience, 1), 0);
    assert_eq!(wary(), WARY.0 - 2, "as who wants no more");
    let before = experience.window();
    experience.note(&grown(&experience, 4 << 20), 1);
    assert_eq!(experience.window(), before - before / 4 + (1 << 20), "down in small steps");
}
