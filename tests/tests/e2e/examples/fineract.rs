//! Fineract's account transfers over its tables, as far as Locum sees them.

use locum_tests::stack::connect;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Transaction, TxOpts};
use serde_json::{Value as Json, json};

use super::http::{Answer, Core, Request};

const API: &str = "/fineract-provider/api/v1";
/// MariaDB's number of a key that is there already.
const DUPLICATE_KEY: u16 = 1062;
/// Of `m_portfolio_command_source.status`.
const PROCESSED: u8 = 1;
const UNDER_PROCESSING: u8 = 4;
const FAILED: u8 = 5;
/// Of `m_savings_account_transaction.transaction_type_enum`.
const DEPOSIT: u8 = 1;
const WITHDRAWAL: u8 = 2;
/// What a transfer must have; anything else is refused.
const PARAMETERS: [&str; 13] = [
    "fromOfficeId",
    "fromClientId",
    "fromAccountType",
    "fromAccountId",
    "toOfficeId",
    "toClientId",
    "toAccountType",
    "toAccountId",
    "transferDate",
    "transferAmount",
    "transferDescription",
    "dateFormat",
    "locale",
];

/// The core over this database.
pub struct Fineract {
    /// `mysql://…/fineract_default`
    pub database: String,
}

/// What a transfer asks for.
struct Transfer {
    from: i64,
    to: i64,
    amount: String,
    date: String,
    description: String,
    clients: [i64; 2],
}

/// A refusal: its status and its code.
struct Refusal(u16, &'static str);

/// Payer and payee, locked in one order, and whether the amount is there.
const ACCOUNTS: &str = "SELECT id, status_enum, sub_status_enum, currency_code, \
    account_balance_derived - COALESCE(on_hold_funds_derived, 0) - COALESCE(total_savings_amount_on_hold, 0) \
    + IF(allow_overdraft, COALESCE(overdraft_limit, 0), 0) >= CAST(? AS DECIMAL(19,6)) \
    FROM m_savings_account WHERE id IN (?, ?) ORDER BY id FOR UPDATE";

/// Id, state, state below, currency, whether the amount is there: as selected.
type AccountRow = (i64, i64, i64, String, i64);

impl Core for Fineract {
    async fn answer(&self, request: &Request) -> Answer {
        if !request.headers.contains_key("authorization") {
            return Answer::json(401, &json!({"error": "Unauthorized"}));
        }
        if !request.headers.contains_key("fineract-platform-tenantid") {
            return Answer::json(400, &json!({"error": "no tenant identifier"}));
        }
        let done = match (request.method.as_str(), request.path.strip_prefix(API)) {
            ("GET", Some("/offices")) => self.offices().await,
            ("POST", Some("/accounttransfers")) => self.transfer(request).await,
            _ => Ok(Answer::json(404, &json!({"error": "no such resource"}))),
        };
        done.unwrap_or_else(|err| Answer::json(500, &json!({"error": err.to_string()})))
    }
}

impl Fineract {
    async fn offices(&self) -> Result<Answer, Error> {
        connect(&self.database).await?.query_drop("SELECT 1").await?;
        Ok(Answer::json(200, &json!([{"id": 1, "name": "Head Office"}])))
    }

    /// The command row commits before and after the transfer, each time alone; its key is unique.
    async fn transfer(&self, request: &Request) -> Result<Answer, Error> {
        let Some(key) = request.headers.get("idempotency-key") else {
            return Ok(Answer::json(400, &json!({"error": "no Idempotency-Key"})));
        };
        let mut db = connect(&self.database).await?;
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let begun = db
            .exec_drop(
                "INSERT INTO m_portfolio_command_source (action_name, entity_name, api_get_url, command_as_json, \
                 maker_id, made_on_date_utc, status, idempotency_key) \
                 VALUES ('CREATE', 'ACCOUNTTRANSFER', '/accounttransfers', ?, 1, UTC_TIMESTAMP(6), ?, ?)",
                (text.as_str(), UNDER_PROCESSING, key.as_str()),
            )
            .await;
        match begun {
            Ok(()) => {}
            Err(Error::Server(err)) if err.code == DUPLICATE_KEY => return stored(&mut db, key, text).await,
            Err(err) => return Err(err),
        }
        let outcome = match read(&request.body) {
            Ok(transfer) => book(&mut db, &transfer).await?,
            Err(refusal) => Err(refusal),
        };
        let (state, status, body) = match outcome {
            Ok((account, resource)) => (PROCESSED, 200, json!({"savingsId": account, "resourceId": resource})),
            Err(Refusal(status, code)) => (FAILED, status, refused(status, code)),
        };
        db.exec_drop(
            "UPDATE m_portfolio_command_source \
             SET status = ?, result = ?, result_status_code = ?, resource_id = ? WHERE idempotency_key = ?",
            (state, body.to_string(), status, body["resourceId"].as_i64(), key.as_str()),
        )
        .await?;
        Ok(Answer::json(status, &body))
    }
}

/// The first answer again, or 425 with the request while there is none.
async fn stored(db: &mut Conn, key: &str, request: String) -> Result<Answer, Error> {
    let sql = "SELECT status, result, result_status_code FROM m_portfolio_command_source WHERE idempotency_key = ?";
    let row: Option<(u8, Option<String>, Option<u16>)> = db.exec_first(sql, (key,)).await?;
    Ok(match row {
        Some((PROCESSED | FAILED, Some(body), Some(status))) => {
            Answer { status, header: Some(("x-served-from-cache", "true")), body }
        }
        _ => Answer { status: 425, header: None, body: request },
    })
}

fn refused(status: u16, code: &str) -> Json {
    json!({
        "httpStatusCode": status.to_string(),
        "userMessageGlobalisationCode": "validation.msg.domain.rule.violation",
        "errors": [{"userMessageGlobalisationCode": code, "parameterName": "id"}],
    })
}

fn read(body: &[u8]) -> Result<Transfer, Refusal> {
    let invalid = || Refusal(400, "validation.msg.validation.errors.exist");
    let body: Json = serde_json::from_slice(body).map_err(|_| invalid())?;
    let members = body.as_object().ok_or_else(invalid)?;
    if members.keys().any(|name| !PARAMETERS.contains(&name.as_str())) {
        return Err(Refusal(400, "error.msg.parameter.unsupported"));
    }
    let text = |name: &str| -> Result<String, Refusal> {
        match &body[name] {
            Json::String(text) if !text.trim().is_empty() => Ok(text.clone()),
            Json::Number(number) => Ok(number.to_string()),
            _ => Err(invalid()),
        }
    };
    let number = |name: &str| -> Result<i64, Refusal> { text(name)?.parse().map_err(|_| invalid()) };
    for name in PARAMETERS {
        text(name)?;
    }
    let amount = text("transferAmount")?;
    if amount.bytes().any(|byte| !byte.is_ascii_digit() && byte != b'.') {
        return Err(invalid());
    }
    Ok(Transfer {
        from: number("fromAccountId")?,
        to: number("toAccountId")?,
        amount,
        date: text("transferDate")?,
        description: text("transferDescription")?,
        clients: [number("fromClientId")?, number("toClientId")?],
    })
}

/// Each posting before its balance, the link row last; all in one source transaction.
async fn book(db: &mut Conn, transfer: &Transfer) -> Result<Result<(i64, u64), Refusal>, Error> {
    let (from, to) = (transfer.from, transfer.to);
    let mut tx = db.start_transaction(TxOpts::default()).await?;
    let accounts: Vec<AccountRow> = tx.exec(ACCOUNTS, (transfer.amount.as_str(), from, to)).await?;
    if let Some(refusal) = refusal_of(&accounts, from, to) {
        tx.rollback().await?;
        return Ok(Err(refusal));
    }
    let debit = leg(&mut tx, transfer, from, (WITHDRAWAL, '-')).await?;
    let credit = leg(&mut tx, transfer, to, (DEPOSIT, '+')).await?;
    let [from_client, to_client] = transfer.clients;
    tx.exec_drop(
        "INSERT INTO m_account_transfer_details (from_office_id, to_office_id, from_client_id, to_client_id, \
         from_savings_account_id, to_savings_account_id, transfer_type) VALUES (1, 1, ?, ?, ?, ?, 1)",
        (from_client, to_client, from, to),
    )
    .await?;
    let details = last_id(&mut tx).await?;
    let (date, amount, description) = (&transfer.date, &transfer.amount, &transfer.description);
    tx.exec_drop(
        "INSERT INTO m_account_transfer_transaction (account_transfer_details_id, from_savings_transaction_id, \
         to_savings_transaction_id, transaction_date, currency_code, amount, description) \
         SELECT ?, ?, ?, ?, currency_code, CAST(? AS DECIMAL(19,6)), ? FROM m_savings_account WHERE id = ?",
        (details, debit, credit, date.as_str(), amount.as_str(), description.as_str(), from),
    )
    .await?;
    tx.commit().await?;
    Ok(Ok((from, details)))
}

/// One posting and its balance; answers with the posting's id.
async fn leg(tx: &mut Transaction<'_>, transfer: &Transfer, account: i64, kind: (u8, char)) -> Result<u64, Error> {
    let ((kind, sign), date, amount) = (kind, transfer.date.as_str(), transfer.amount.as_str());
    tx.exec_drop(
        format!(
            "INSERT INTO m_savings_account_transaction (savings_account_id, office_id, transaction_type_enum, \
             transaction_date, amount, running_balance_derived, created_on_utc, last_modified_on_utc, ref_no) \
             SELECT id, 1, ?, ?, CAST(? AS DECIMAL(19,6)), account_balance_derived {sign} CAST(? AS DECIMAL(19,6)), \
             UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UUID() FROM m_savings_account WHERE id = ?"
        ),
        (kind, date, amount, amount, account),
    )
    .await?;
    let id = last_id(tx).await?;
    // The day on which the posting before ends: an old row changes, and no posting comes of it.
    tx.exec_drop(
        "UPDATE m_savings_account_transaction SET balance_end_date_derived = ? \
         WHERE savings_account_id = ? AND id < ? ORDER BY id DESC LIMIT 1",
        (date, account, id),
    )
    .await?;
    tx.exec_drop(
        format!(
            "UPDATE m_savings_account SET account_balance_derived = account_balance_derived {sign} \
             CAST(? AS DECIMAL(19,6)), version = version + 1 WHERE id = ?"
        ),
        (amount, account),
    )
    .await?;
    Ok(id)
}

/// Of the row that was inserted last.
async fn last_id(tx: &mut Transaction<'_>) -> Result<u64, Error> {
    let id: Option<u64> = tx.query_first("SELECT LAST_INSERT_ID()").await?;
    Ok(id.unwrap_or_default())
}

fn refusal_of(accounts: &[AccountRow], from: i64, to: i64) -> Option<Refusal> {
    let find = |wanted: i64| accounts.iter().find(|(id, ..)| *id == wanted);
    let (Some(payer), Some(payee)) = (find(from), find(to)) else {
        return Some(Refusal(404, "error.msg.saving.account.id.invalid"));
    };
    let ((_, status, below, currency, enough), (_, to_status, to_below, to_currency, _)) = (payer, payee);
    if currency != to_currency {
        Some(Refusal(403, "error.msg.accounttransfer.different.currencies"))
    } else if *status != 300 || [400, 600].contains(below) {
        Some(Refusal(403, "error.msg.savings.account.debit.transaction.not.allowed"))
    } else if *to_status != 300 || [400, 500].contains(to_below) {
        Some(Refusal(403, "error.msg.saving.account.blocked.transaction.not.allowed"))
    } else if *enough != 1 {
        Some(Refusal(403, "error.msg.savingsaccount.transaction.insufficient.account.balance"))
    } else {
        None
    }
}
