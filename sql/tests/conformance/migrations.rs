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

pub async fn newer(f: &Fixture) {
    const NEWER: &[Migration] = &[
        SCHEMA[0],
        Migration { version: 2, statements: &["ALTER TABLE lanes ADD COLUMN core {text:16}"] },
        Migration { version: 3, statements: &["ALTER TABLE lanes ADD COLUMN place {text:16}"] },
    ];
    f.db.migrate("test", NEWER).await.unwrap();
    // A process that starts has connections of its own.
    let older = f.another(Options { connections_max: 1, ..Options::default() }).await;
    for known in [1, 2] {
        let refused = older.migrate("test", &NEWER[..known]).await.unwrap_err();
        let known = u32::try_from(known).unwrap();
        assert_eq!(refused, Error::NewerSchema { component: "test".into(), found: 3, known });
        let told = refused.to_string();
        for part in ["tables of test", "version 3", &format!("up to {known}"), "start a locum of at least", "restore"] {
            assert!(told.contains(part), "{part:?} is not in {told:?}");
        }
    }
    // Another component's version says nothing of this one's, and a refused start leaves no lock and no transaction behind.
    older.migrate("other", SCHEMA_OF_OTHER).await.unwrap();
    older.migrate("test", NEWER).await.unwrap();
    let rows =
        f.db.query("SELECT version FROM schema_versions WHERE component = 'test' ORDER BY version", vec![]).await;
    assert_eq!(rows.unwrap().iter().map(|row| row.get::<u32>("version").unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
}

const SCHEMA_OF_OTHER: &[Migration] =
    &[Migration { version: 1, statements: &["CREATE TABLE others (id {int} NOT NULL PRIMARY KEY)"] }];

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
