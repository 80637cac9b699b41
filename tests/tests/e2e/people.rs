//! People who work off what no machine can resolve: they look into the core's books and send again what is not there.

use std::collections::HashMap;
use std::time::Duration;

use http::Method;
use locum_tests::world::World;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A parked entry is looked for in the books when no request of it can still be on its way.
const LOOK_AFTER: Duration = Duration::from_secs(5);

/// The operators of a bank whose core nobody can ask.
pub struct People(JoinHandle<()>);

impl People {
    /// They look once a second, at any instance's queue.
    pub fn at_work(world: &World) -> Self {
        let (mut admins, books): (Vec<_>, _) = (world.locums.iter().map(|l| l.admin()).collect(), world.core.look());
        Self(tokio::spawn(async move {
            let mut rounds = tokio::time::interval(Duration::from_secs(1));
            let mut parked_since: HashMap<String, Instant> = HashMap::new();
            for turn in 0.. {
                rounds.tick().await;
                let count = admins.len();
                let admin = &mut admins[turn % count];
                let Ok(parked) = admin.get("/admin/v1/entries?state=parked&limit=1000").await else { continue };
                for entry in parked.body["entries"].as_array().into_iter().flatten() {
                    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
                    let since = parked_since.entry(text("id") + &text("updated_at")).or_insert_with(Instant::now);
                    if since.elapsed() < LOOK_AFTER || books.has(&text("core_reference")).await.unwrap_or(true) {
                        continue;
                    }
                    let order = json!({"action": "retry", "reason": "not in the core's books"});
                    let path = format!("/admin/v1/entries/{}/actions", text("id"));
                    if let Ok(answer) = admin.request(Method::POST, &path, &[], Some(&order)).await {
                        println!("people: {} is not in the books, retry: {}", text("id"), answer.status);
                    }
                }
            }
        }))
    }

    /// The run is over.
    pub fn go_home(self) {
        self.0.abort();
    }
}
