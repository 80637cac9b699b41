use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;

const GRACE: Duration = Duration::from_secs(30);

/// A service that panics at its first `times` starts and then works until the process drains.
fn panics(times: usize, drain: &Drain, working: Arc<Notify>) -> impl FnMut() -> futures::Boxed + Send + 'static {
    let (drain, starts) = (drain.clone(), Arc::new(AtomicUsize::new(0)));
    move || {
        let (drain, working) = (drain.clone(), working.clone());
        let start = starts.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            assert!(start >= times, "an injected panic");
            working.notify_one();
            drain.begun().await;
        })
    }
}

mod futures {
    pub type Boxed = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_is_started_again_and_the_others_never_notice() {
    let drain = Drain::default();
    let mut supervisor = Supervisor::new(drain.clone(), RestartPolicy::default());
    let (healed, steady) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let others = Arc::new(AtomicUsize::new(0));
    supervisor.run("ill", panics(3, &drain, healed.clone()));
    let (starts, steadily) = (others.clone(), steady.clone());
    let until = drain.clone();
    supervisor.run("well", move || {
        starts.fetch_add(1, Ordering::Relaxed);
        let (until, steadily) = (until.clone(), steadily.clone());
        async move {
            steadily.notify_one();
            until.begun().await;
        }
    });
    steady.notified().await;
    healed.notified().await;
    assert_eq!(others.load(Ordering::Relaxed), 1);
    assert!(!drain.is_leaving(), "the process stays ready");
    drain.begin();
    supervisor.ended(GRACE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_again_and_again_ends_the_process_in_order() {
    let drain = Drain::with_notice(Duration::from_secs(5));
    let mut supervisor = Supervisor::new(drain.clone(), RestartPolicy::default());
    let never = Arc::new(Notify::new());
    supervisor.run("ill", panics(usize::MAX, &drain, never.clone()));
    supervisor.run("well", panics(0, &drain, never));
    let ended = tokio::spawn(supervisor.ended(GRACE));
    while !drain.is_leaving() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!drain.has_begun(), "not ready first, so that a load balancer turns to others");
    drain.clone().begun().await;
    let told = ended.await.unwrap().unwrap_err().to_string();
    assert!(told.contains("ill ended by a panic, 10 times"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn an_end_before_the_drain_is_a_failure_too() {
    let drain = Drain::default();
    let mut supervisor = Supervisor::new(drain.clone(), RestartPolicy { failures_max: 2, ..RestartPolicy::default() });
    supervisor.run("silent", || async {});
    let told = supervisor.ended(GRACE).await.unwrap_err().to_string();
    assert!(told.contains("silent ended by itself"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_end_keeps_the_process_for_a_bounded_time_only() {
    let drain = Drain::default();
    let mut supervisor = Supervisor::new(drain.clone(), RestartPolicy::default());
    supervisor.run("stuck", std::future::pending);
    supervisor.run_until_drained("endless", std::future::pending);
    supervisor.run_to_the_last("lasting", std::future::pending);
    drain.begin();
    let told = supervisor.ended(GRACE).await.unwrap_err().to_string();
    assert!(told.ends_with(": stuck"), "{told}");
}

#[test]
fn pauses_grow_and_old_failures_are_forgotten() {
    let policy = RestartPolicy::default();
    let (mut failures, mut now) = (Failures::default(), Instant::now());
    let mut pauses = Vec::new();
    for _ in 1..policy.failures_max {
        match failures.add(now, &policy) {
            Next::StartAfter(pause) => pauses.push(pause),
            Next::GiveUp => panic!("too early: {pauses:?}"),
        }
        now += Duration::from_secs(1);
    }
    assert!(pauses.is_sorted() && pauses[0] == policy.pause_min && pauses.last() == Some(&policy.pause_max));
    assert_eq!(failures.add(now, &policy), Next::GiveUp);
    now += policy.window * 2;
    assert_eq!(failures.add(now, &policy), Next::StartAfter(policy.pause_min));
}
