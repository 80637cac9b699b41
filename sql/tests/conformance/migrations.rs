//! Tables are brought up to date once, however many processes start.

use sql::{Error, Migration, Options};

use crate::support::{Fixture, SCHEMA};

pub async fn once(f: &Fixture) {
    f.lane("a", 1).await;
    f.db.migrate("test", SCHEMA).await.unwrap();
    const MORE: &[Migration] = &[
        SCHEMA[0],
        Migration {
            version: 2,
            statements: &["ALTER TABLE lanes ADD COLUMN core {text:16}", "UPDATE lanes SET core = 'x'"],
        },
    ];
    f.db.migrate("test", MORE).await.unwrap();
    f.db.migrate("test", MORE).await.unwrap();
    let rows = f.db.query("SELECT core FROM lanes", vec![]).await.unwrap();
    assert_eq!(rows[0].get::<String>("core").unwrap(), "x");
    let rows = f.db.query("SELECT version FROM schema_versions ORDER BY version", vec![]).await.unwrap();
    assert_eq!(rows.iter().map(|r| r.get::<u32>("version").unwrap()).collect::<Vec<_>>(), [1, 2]);
    let gap = [Migration { version: 2, statements: &[] }];
    assert!(matches!(f.db.migrate("other", &gap).await, Err(Error::Configuration(_))));
}

pub async fn concurrently(f: &Fixture) {
    const STEPS: &[Migration] = &[Migration {
        version: 1,
        statements: &[
            "CREATE TABLE crowded (id {int} NOT NULL PRIMARY KEY)",
            "CREATE INDEX crowded_id ON crowded (id)",
        ],
    }];
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let db = f.another(Options { connections_max: 2, ..Options::default() }).await;
        tasks.push(tokio::spawn(async move { db.migrate("crowd", STEPS).await }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    f.db.exec("INSERT INTO crowded (id) VALUES (1)", vec![]).await.unwrap();
}
