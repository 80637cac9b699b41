//! A database that is away: at the start, and under a running core.

use std::sync::Arc;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{Core, Place, transfer, wait_for};

/// A wire to the database server that can be cut: connections end, and new ones end at once.
async fn wire(server: String) -> (String, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let whole = watch::Sender::new(false);
    let state = Arc::new(whole.clone());
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (mut cut, server) = (state.subscribe(), server.clone());
            tokio::spawn(async move {
                if !*cut.borrow() {
                    return;
                }
                let mut far = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cut.changed() => {}
                }
            });
        }
    });
    (address, whole)
}

#[tokio::test]
async fn a_core_waits_for_its_database_answers_503_without_it_and_recovers_unaided() {
    let Some(mut place) = Place::served() else { return };
    let direct = place.database.clone();
    let authority = direct.split("://").nth(1).unwrap().split('/').next().unwrap();
    let (user, server) = authority.rsplit_once('@').unwrap();
    let (address, whole) = wire(server.to_owned()).await;
    place.database = direct.replace(authority, &format!("{user}@{address}"));

    let mut starting = Box::pin(Core::start(&place, &[]));
    let early = tokio::time::timeout(std::time::Duration::from_millis(700), &mut starting).await;
    assert!(early.is_err(), "there is nothing to be ready with");
    whole.send_replace(true);
    let core = starting.await;
    assert_eq!(core.post(&transfer("R1")).await.unwrap().0, 201);

    whole.send_replace(false);
    let (status, body) = core.post(&transfer("R2")).await.unwrap();
    assert_eq!((status, body.contains("UNAVAILABLE")), (503, true), "{body}");
    assert_eq!(core.get(&core.bank, "/health").await, (200, json!({"status": "DATABASE_AWAY"})));
    assert_eq!(core.enquire("R1").await.0, 503);
    assert_eq!(core.get(&core.bank, "/api/accounts/100000000001").await.0, 503);

    whole.send_replace(true);
    let posted = async || (core.post(&transfer("R3")).await.unwrap().0 < 300).then_some(());
    wait_for("the core to recover", posted).await;
    assert_eq!(core.times_posted("R3").await, 1);
    drop(core);
    place.database = direct;
    place.remove().await;
}
