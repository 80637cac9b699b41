//! The cores of `examples/`: a stand-in for the HTTP of each, over the tables of the example.

mod blnk;
mod fineract;
mod http;
mod walk;

use std::env::var;

use locum_tests::stack::addresses;
use tokio::net::TcpListener;

use self::blnk::Blnk;
use self::fineract::Fineract;

/// Where the examples' connectors look for their cores.
const FINERACT: &str = "127.0.0.1:7010";
const BLNK: &str = "127.0.0.1:7020";

/// Not a test: the process of a stand-in, until it is killed. `examples/stand-in` runs it, and so does a test that wants a
/// core of its own.
///
/// STAND_IN says which core. STAND_IN_LISTEN and STAND_IN_DATABASE replace the example's address and dev/stack's database.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs until it is killed"]
async fn stand_in() {
    let core = var("STAND_IN").unwrap_or_else(|_| panic!("set STAND_IN=fineract or STAND_IN=blnk"));
    let (listen, part, database) = match core.as_str() {
        "fineract" => (FINERACT, "CORE_DB_URL", "fineract_default"),
        "blnk" => (BLNK, "POSTGRES_URL", "blnk"),
        other => panic!("there is no stand-in for {other}"),
    };
    let listen = var("STAND_IN_LISTEN").unwrap_or_else(|_| listen.to_owned());
    let database = var("STAND_IN_DATABASE").unwrap_or_else(|_| {
        let addresses = tokio::task::block_in_place(addresses);
        let server = addresses.get(part).unwrap_or_else(|| panic!("dev/stack env has no {part}"));
        format!("{server}/{database}")
    });
    let listener = TcpListener::bind(&listen).await.unwrap_or_else(|err| panic!("{listen}: {err}"));
    println!("{core} is played on http://{listen}");
    match core.as_str() {
        "fineract" => http::serve(listener, Fineract { database }).await,
        _ => http::serve(listener, Blnk { database }).await,
    }
}
